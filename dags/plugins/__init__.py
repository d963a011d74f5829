"""What Airflow's API server shows beyond Airflow."""
