"""The corpus pipeline: raw media with transcripts beside them in, a dataset of utterances with features out.

`scan` lists and shards, `prepare` decodes and cuts, `extract` computes features, `assemble` writes the manifest.
`dataset` reads what came out.
"""
