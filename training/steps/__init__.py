"""The steps of training, one module each: `VERSION`, `inputs` and `run`."""
