"""Select rows from extracted shards for a dataset, write its shards, and gather statistics."""
