"""What runs a component: the Kafka worker, its messages, sessions, snapshots and metrics."""
