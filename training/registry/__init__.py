"""Model versions in MLflow: packing one so that it works alone, registering it once, and moving its aliases."""
