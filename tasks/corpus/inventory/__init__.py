"""What lies in the corpus: media with their transcripts, their identity, and the plan of splits and shards."""
