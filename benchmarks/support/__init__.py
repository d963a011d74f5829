"""What the benchmarks share: the harness, services to run against, and data to run on."""
