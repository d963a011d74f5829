"""From a dataset's Parquet shards to batches: an index in memory, an epoch's order, and a reader ahead of the model."""
