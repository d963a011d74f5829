"""The dataset that corpus writes and training reads: manifest, Parquet schema, audio as FLAC, totals."""
