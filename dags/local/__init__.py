"""Airflow and MLflow on a laptop: no containers, no accounts, two cores are enough.

`python -m dags.local up | down | status | demo`. Everything it makes lies under `AIRSCRIPT_HOME`.
"""
