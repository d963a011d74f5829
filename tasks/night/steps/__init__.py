"""The steps of a night, one module each: `VERSION`, `inputs` and `run`."""
