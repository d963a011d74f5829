"""What Airflow runs: one file per DAG, and `common`, the one way to launch a step."""
