"""The steps of the corpus pipeline, one module each: `VERSION`, `inputs` and `run`."""
