"""The DAGs, one file each; `common` launches their steps, `plugins` extends Airflow's API server."""
