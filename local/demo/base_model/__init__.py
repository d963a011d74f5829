"""The base model of the demo: a small Parakeet CTC, trained ahead on synthetic speech."""
