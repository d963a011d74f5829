"""The steps that do the work: corpus preparation, features, recognition, transcripts."""
