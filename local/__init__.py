"""One machine: Airflow and MLflow as this user's processes, and the demo. Nothing here runs in a cluster."""
