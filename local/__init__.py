"""One machine: Airflow and MLflow as processes of this user, and the demo. Nothing here runs in a cluster."""
