"""The inventory of a corpus: media paired with transcripts, programme ids, and the plan of splits and shards."""
