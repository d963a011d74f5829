"""The corpus pipeline: from media with transcripts beside them to a dataset of utterances with features.

`steps` are scan (list and shard), prepare (decode and cut), match (captions with a recogniser, optional), extract
(features) and assemble (filter, check, manifest, report). `captions` reads transcripts in all formats, `inventory`
lists and plans the corpus, `utterances` cuts programmes, `assembly` selects the rows of a dataset, `report` shows it.
"""
