"""Starting and stopping services: with cheap stand-ins, and once with the real ones."""

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

from local.airflow_api import AirflowApi
from local.ports import free_port
from local.services import SERVICES, Services, command_line
from local.settings import USER, Installation, UserError
from local.status_table import StatusTable

# Answers every GET with 200, as MLflow's /health does.
SERVER = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation.from_environment(
        {
            "AIRSCRIPT_HOME": str(tmp_path / "home"),
            "AIRSCRIPT_AIRFLOW_PORT": str(free_port()),
            "AIRSCRIPT_MLFLOW_PORT": str(free_port()),
        }
    )


def stand_in(installation: Installation, _service: str) -> list[str]:
    return [sys.executable, "-c", SERVER, str(installation.mlflow_port)]


@pytest.fixture
def services(installation: Installation) -> Iterator[Services]:
    made = Services(installation, command=stand_in, names=("mlflow",))
    yield made
    made.down()


def status_table() -> StatusTable:
    return StatusTable(Console(file=io.StringIO()))


def test_up_starts_once_and_down_stops_once(services: Services) -> None:
    assert services.up(status_table(), "test") == ("mlflow",)
    first = services.alive()["mlflow"]
    assert services.up(status_table(), "test") == ()
    assert services.alive()["mlflow"] == first
    assert services.down() == ("mlflow",)
    assert not first.is_alive
    assert services.down() == ()
    assert services.records() == {}


def test_up_recovers_from_a_crash(services: Services) -> None:
    services.up(status_table(), "test")
    first = services.alive()["mlflow"]
    os.kill(first.pid, signal.SIGKILL)
    _until_dead(services)
    assert services.up(status_table(), "test") == ("mlflow",)
    assert services.alive()["mlflow"].pid != first.pid


def test_a_dead_service_is_restarted_a_limited_number_of_times(services: Services) -> None:
    services.up(status_table(), "test")
    assert services.restart_dead() == ()
    for _ in range(3):
        os.kill(services.alive()["mlflow"].pid, signal.SIGKILL)
        _until_dead(services)
        assert services.restart_dead() == ("mlflow",)
    os.kill(services.alive()["mlflow"].pid, signal.SIGKILL)
    _until_dead(services)
    with pytest.raises(UserError, match="mlflow died 4 times"):
        services.restart_dead()


def test_down_does_not_stop_another_process_with_the_same_pid(services: Services) -> None:
    services.up(status_table(), "test")
    ours = services.alive()["mlflow"]
    path = services.folder / "mlflow.json"
    stale = json.loads(path.read_text()) | {"born": ours.born + 3600}
    path.write_text(json.dumps(stale))
    assert services.down() == ()
    assert ours.is_alive
    path.write_text(json.dumps(stale | {"born": ours.born}))
    assert services.down() == ("mlflow",)


def test_a_taken_port_fails_up_before_anything_starts(services: Services, installation: Installation) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", installation.mlflow_port))
        other.listen()
        with pytest.raises(UserError, match=f"port {installation.mlflow_port} for MLflow is taken"):
            services.up(status_table(), "test")
    assert services.records() == {}


def test_chosen_ports_are_kept_until_down(services: Services, installation: Installation) -> None:
    services.up(status_table(), "test")
    home = {"AIRSCRIPT_HOME": str(installation.home)}
    assert Installation.from_environment(home).ports == installation.ports
    other = Installation.from_environment(home | {"AIRSCRIPT_MLFLOW_PORT": str(free_port())})
    with pytest.raises(UserError, match=f"MLflow on {installation.mlflow_port} already.*make down"):
        Services(other, command=stand_in, names=("mlflow",)).up(status_table(), "test")


def test_up_takes_over_the_services_of_a_killed_demo(services: Services) -> None:
    services.up(status_table(), "demo")
    assert services.up(status_table(), "up") == ()
    assert services.alive()["mlflow"].started_by == "up"
    services.up(status_table(), "demo")
    assert services.alive()["mlflow"].started_by == "up"


def test_a_service_that_exits_at_once_shows_its_log(installation: Installation) -> None:
    def broken(_installation: Installation, _service: str) -> list[str]:
        return [sys.executable, "-c", "raise SystemExit('no such option: --colour')"]

    services = Services(installation, command=broken, names=("mlflow",))
    with pytest.raises(UserError, match="mlflow exited during its start") as caught:
        services.up(status_table(), "test")
    assert "no such option: --colour" in str(caught.value)
    assert str(services.log("mlflow")) in str(caught.value)
    services.down()


def test_command_lines(installation: Installation) -> None:
    lines = {service: command_line(installation, service) for service in SERVICES}
    assert lines["mlflow"][:4] == [sys.executable, "-m", "mlflow", "server"]
    assert lines["mlflow"][lines["mlflow"].index("--host") + 1] == "127.0.0.1"
    for service in set(SERVICES) - {"mlflow"}:
        assert lines[service][:4] == [sys.executable, "-m", "airflow", service]


@pytest.mark.slow
def test_the_real_services(installation: Installation) -> None:
    services = Services(installation)
    try:
        assert set(services.up(status_table(), "test")) == set(SERVICES)
        api = AirflowApi(installation)
        assert "corpus_features" in _dags_within(api, 60)
        assert api.import_errors() == []
        with pytest.raises(httpx.HTTPStatusError, match="401"):
            httpx.get(f"{installation.airflow_url}/api/v2/dags", trust_env=False).raise_for_status()
        private = [
            installation.home / "credentials.json",
            installation.airflow_home / "passwords.json",
            installation.airflow_home,
            installation.mlflow_home,
        ]
        assert [path.stat().st_mode & 0o077 for path in private] == [0] * len(private)
        _mlflow_needs_the_password(installation)
    finally:
        assert set(services.down()) == set(SERVICES)
    assert services.alive() == {}


def _mlflow_needs_the_password(installation: Installation) -> None:
    search = f"{installation.mlflow_url}/api/2.0/mlflow/registered-models/search"
    for login in (None, (USER, "wrong")):
        assert httpx.get(search, auth=login, trust_env=False).status_code == 401
        move = f"{installation.mlflow_url}/api/2.0/mlflow/registered-models/alias"
        body = {"name": "acoustic-model", "alias": "champion", "version": "1"}
        assert httpx.post(move, auth=login, json=body, trust_env=False).status_code == 401
    password = installation.credentials().password
    assert httpx.get(search, auth=(USER, password), trust_env=False).status_code == 200


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
