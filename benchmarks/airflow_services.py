"""A whole Airflow for a benchmark, as a laptop has it, without MLflow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from local.airflow_api import AirflowApi
from local.board import Board
from local.services import AIRFLOW_SERVICES, Services
from local.settings import Laptop


@contextmanager
def airflow(laptop: Laptop, dag_id: str) -> Iterator[tuple[AirflowApi, Services]]:
    """Started, healthy and with `dag_id` unpaused; stopped at the end."""
    services = Services(laptop, names=AIRFLOW_SERVICES)
    try:
        with Board(Console(stderr=True)) as board:
            services.up(board, "up")
        api = AirflowApi(laptop)
        api.unpause(dag_id)
        yield api, services
    finally:
        services.down()
