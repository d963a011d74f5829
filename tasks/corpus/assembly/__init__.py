"""What of the extracted shards goes into a dataset, and its statistics."""
