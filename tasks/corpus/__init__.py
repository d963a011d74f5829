"""The corpus pipeline: raw media with transcripts beside them in, a dataset of utterances with features out.

`steps` are scan (list and shard), prepare (decode and cut), match (captions against a recogniser, if asked), extract
(features) and assemble (filter, check, manifest, report). `captions` reads transcripts of every format, `inventory`
knows what lies in the corpus, `utterances` cuts programmes, `assembly` selects what a dataset gets, `report` shows it.
"""
