"""Starting and stopping with cheap stand-ins for the real services, and once with the real ones."""

import io
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from rich.console import Console

from benchmarks.loopback import free_port
from local.airflow_api import AirflowApi
from local.board import Board
from local.services import SERVICES, Services, command
from local.settings import Laptop, LaptopError

# Answers every GET with success, as MLflow's /health does.
SERVER = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.fixture
def laptop(tmp_path: Path) -> Laptop:
    return Laptop.from_environment(
        {
            "AIRSCRIPT_HOME": str(tmp_path / "home"),
            "AIRSCRIPT_AIRFLOW_PORT": str(free_port()),
            "AIRSCRIPT_MLFLOW_PORT": str(free_port()),
        }
    )


def stand_in(laptop: Laptop, _service: str) -> list[str]:
    return [sys.executable, "-c", SERVER, str(laptop.mlflow_port)]


@pytest.fixture
def services(laptop: Laptop) -> Iterator[Services]:
    made = Services(laptop, command=stand_in, names=("mlflow",))
    yield made
    made.down()


def board() -> Board:
    return Board(Console(file=io.StringIO()))


def test_up_starts_once_and_down_stops_once(services: Services) -> None:
    assert services.up(board(), "test") == ("mlflow",)
    first = services.alive()["mlflow"]
    assert services.up(board(), "test") == ()
    assert services.alive()["mlflow"] == first
    assert services.down() == ("mlflow",)
    assert not first.is_alive
    assert services.down() == ()
    assert services.records() == {}


def test_up_goes_on_after_a_crash(services: Services) -> None:
    services.up(board(), "test")
    first = services.alive()["mlflow"]
    os.kill(first.pid, signal.SIGKILL)
    _until_dead(services)
    assert services.up(board(), "test") == ("mlflow",)
    assert services.alive()["mlflow"].pid != first.pid


def test_a_service_that_dies_is_revived_but_not_for_ever(services: Services) -> None:
    services.up(board(), "test")
    assert services.revive() == ()
    for _ in range(3):
        os.kill(services.alive()["mlflow"].pid, signal.SIGKILL)
        _until_dead(services)
        assert services.revive() == ("mlflow",)
    os.kill(services.alive()["mlflow"].pid, signal.SIGKILL)
    _until_dead(services)
    with pytest.raises(LaptopError, match="mlflow died 4 times"):
        services.revive()


def test_down_leaves_a_stranger_with_the_same_pid_alone(services: Services) -> None:
    services.up(board(), "test")
    ours = services.alive()["mlflow"]
    path = services.folder / "mlflow.json"
    stale = json.loads(path.read_text()) | {"born": ours.born + 3600}
    path.write_text(json.dumps(stale))
    assert services.down() == ()
    assert ours.is_alive
    path.write_text(json.dumps(stale | {"born": ours.born}))
    assert services.down() == ("mlflow",)


def test_a_taken_port_stops_up_before_anything_starts(services: Services, laptop: Laptop) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", laptop.mlflow_port))
        other.listen()
        with pytest.raises(LaptopError, match=f"port {laptop.mlflow_port} for MLflow is taken"):
            services.up(board(), "test")
    assert services.records() == {}


def test_ports_that_were_chosen_once_hold_until_down(services: Services, laptop: Laptop) -> None:
    services.up(board(), "test")
    home = {"AIRSCRIPT_HOME": str(laptop.home)}
    assert Laptop.from_environment(home).ports == laptop.ports
    other = Laptop.from_environment(home | {"AIRSCRIPT_MLFLOW_PORT": str(free_port())})
    with pytest.raises(LaptopError, match=f"MLflow on {laptop.mlflow_port} already.*make down"):
        Services(other, command=stand_in, names=("mlflow",)).up(board(), "test")


def test_up_takes_over_what_a_killed_demo_left(services: Services) -> None:
    services.up(board(), "demo")
    assert services.up(board(), "up") == ()
    assert services.alive()["mlflow"].started_by == "up"
    services.up(board(), "demo")
    assert services.alive()["mlflow"].started_by == "up"


def test_a_service_that_ends_at_once_shows_its_log(laptop: Laptop) -> None:
    def broken(_laptop: Laptop, _service: str) -> list[str]:
        return [sys.executable, "-c", "raise SystemExit('no such option: --colour')"]

    services = Services(laptop, command=broken, names=("mlflow",))
    with pytest.raises(LaptopError, match="mlflow ended while it started") as caught:
        services.up(board(), "test")
    assert "no such option: --colour" in str(caught.value)
    assert str(services.log("mlflow")) in str(caught.value)
    services.down()


def test_command_lines(laptop: Laptop) -> None:
    lines = {service: command(laptop, service) for service in SERVICES}
    assert lines["mlflow"][:4] == [sys.executable, "-m", "mlflow", "server"]
    assert lines["mlflow"][lines["mlflow"].index("--host") + 1] == "127.0.0.1"
    for service in set(SERVICES) - {"mlflow"}:
        assert lines[service][:4] == [sys.executable, "-m", "airflow", service]


@pytest.mark.slow
def test_the_real_services(laptop: Laptop) -> None:
    services = Services(laptop)
    try:
        assert set(services.up(board(), "test")) == set(SERVICES)
        api = AirflowApi(laptop)
        assert "corpus_features" in _dags_within(api, 60)
        assert api.import_faults() == []
        with pytest.raises(httpx.HTTPStatusError, match="401"):
            httpx.get(f"{laptop.airflow_url}/api/v2/dags", trust_env=False).raise_for_status()
        private = [laptop.home / "credentials.json", laptop.airflow_home / "passwords.json"]
        assert [path.stat().st_mode & 0o077 for path in private] == [0, 0]
    finally:
        assert set(services.down()) == set(SERVICES)
    assert services.alive() == {}


def _dags_within(api: AirflowApi, limit_s: float) -> set[str]:
    began = time.monotonic()
    while not (dags := api.dag_ids()) and time.monotonic() - began < limit_s:
        time.sleep(0.5)
    return dags


def _until_dead(services: Services) -> None:
    began = time.monotonic()
    while services.alive():
        assert time.monotonic() - began < 10
        time.sleep(0.02)
