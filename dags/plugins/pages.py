"""The desk in Airflow's UI: a plugin of the API server."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

from dags.common.links import PAGES
from dags.plugins.desk.app import app
from dags.plugins.desk.programmes import NAV_VIEW
from dags.plugins.desk.reports import RUN_TAB


class AirscriptPages(AirflowPlugin):
    name = "airscript_pages"
    fastapi_apps = [{"app": app, "url_prefix": PAGES, "name": "airscript"}]  # noqa: RUF012  Airflow types it so
    external_views = [NAV_VIEW, RUN_TAB]  # noqa: RUF012
