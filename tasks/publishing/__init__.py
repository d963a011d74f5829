"""Publishing transcripts: shared by the night and live captions."""
