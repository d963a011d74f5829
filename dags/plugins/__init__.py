"""Plugins of Airflow's API server. Airflow loads the files of this folder itself; `.airflowignore` keeps it out of
`desk/`, whose modules it would otherwise load a second time under other names."""
