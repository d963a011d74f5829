"""An Airflow for a benchmark, with the services of `make up` except MLflow."""

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
    """Start Airflow, wait for its health and unpause `dag_id`; stop it at the end."""
    services = Services(installation, names=AIRFLOW_SERVICES)
    try:
        with StatusTable(Console(stderr=True)) as table:
            services.up(table, "up")
        api = AirflowApi(installation)
        api.unpause(dag_id)
        yield api, services
    finally:
        services.down()
