"""The runtime of a component: Kafka worker, partitions and sessions, messages, snapshots, metrics."""
