"""The parts of `benchmarks.gpu`: each measures one thing on one device, in full or in a tiny form."""
