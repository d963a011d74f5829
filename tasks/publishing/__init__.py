"""Publishing transcripts: what nights and live captions share."""
