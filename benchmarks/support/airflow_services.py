"""A whole Airflow for a benchmark, as a laptop has it, without MLflow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from local.airflow_api import AirflowApi
from local.services import AIRFLOW_SERVICES, Services
from local.settings import Installation
from local.status_table import StatusTable


@contextmanager
def airflow(installation: Installation, dag_id: str) -> Iterator[tuple[AirflowApi, Services]]:
    """Started, healthy and with `dag_id` unpaused; stopped at the end."""
    services = Services(installation, names=AIRFLOW_SERVICES)
    try:
        with StatusTable(Console(stderr=True)) as table:
            services.up(table, "up")
        api = AirflowApi(installation)
        api.unpause(dag_id)
        yield api, services
    finally:
        services.down()
