"""The training steps that Airflow launches, one module each: `VERSION`, `inputs` and `run`."""
