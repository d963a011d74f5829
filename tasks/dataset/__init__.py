"""The dataset format that the corpus pipeline writes and training reads: manifest, Parquet schema, FLAC, summary."""
