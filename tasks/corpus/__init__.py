"""The corpus pipeline: raw media with transcripts beside them in, a dataset of utterances with features out.

`scan` lists and shards, `prepare` decodes and cuts, `match` holds captions against a recogniser (if asked), `extract`
computes features, `assemble` filters, checks and writes the manifest, the card and the report.
`dataset` reads what came out.
"""
