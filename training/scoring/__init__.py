"""Error rates: a versioned normaliser, error counts, diarization errors, and bootstrap intervals."""
