"""From a dataset's Parquet shards to batches: an in-memory index, the epoch's order, augmentation, and prefetching."""
