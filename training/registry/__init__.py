"""Model versions in MLflow: packaging them for offline use, registering each model once, and moving aliases."""
