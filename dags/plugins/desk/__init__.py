"""The desk: transcripts, corrections and reports in the browser, inside Airflow's UI and behind its login.

Each module has the routes of one page; `access` says who may use a route and what a page may load.
"""
