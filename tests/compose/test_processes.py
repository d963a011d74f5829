"""The services' words and environment against the programs that read them, without a Docker engine."""

from __future__ import annotations

import http.server
import json
import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from dags.common.settings import CHAMPION_MODEL, Settings
from local.ports import free_port
from tasks.streaming.runtime.metrics import Health, WorkerMetrics, serve
from tests.compose.stack import CHECKOUT, COMPOSE_FILE, filled_in

VARIABLE = re.compile(r"(?<!\$)\$\{(?P<name>\w+)(?::-(?P<default>[^}]*)|:\?[^}]*)?\}")
AIRFLOW = ("init", "apiserver", "scheduler", "dag-processor", "triggerer")
CLUSTER = CHECKOUT / "k8s" / "base" / "mlflow.yaml"


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """The services as Compose starts them: with the variables of .env.example, and `$` for `$$`."""
    settings = dict(line.split("=", 1) for line in filled_in({}).splitlines() if re.match(r"[A-Z]", line))

    def value_of(asked: re.Match[str]) -> str:
        value = settings.get(asked["name"]) or asked["default"]
        assert value is not None, asked[0]
        return value

    text = VARIABLE.sub(value_of, COMPOSE_FILE.read_text()).replace("$$", "$")
    services = yaml.safe_load(text)["services"]
    for service in services.values():
        given = service.get("environment", {})
        service["environment"] = {name: "" if value is None else str(value) for name, value in given.items()}
    return services


@contextmanager
def answering(body: dict[str, Any]) -> Iterator[str]:
    """The address of a server that answers every request with `body`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, format: str, *args: object) -> None: ...

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def exit_code(words: list[str], moved: dict[str, str], **environment: str) -> int:
    """Run a health check, without its `CMD`, with addresses replaced."""
    for old, new in moved.items():
        words = [word.replace(old, new) for word in words]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(words[1:], env={"PATH": path, **environment}, capture_output=True, check=False).returncode


def test_airflow_knows_its_settings(services: dict[str, Any]) -> None:
    from airflow.configuration import retrieve_configuration_description

    known = retrieve_configuration_description(include_airflow=True, include_providers=True)
    for name in AIRFLOW:
        for variable in services[f"airflow-{name}"]["environment"]:
            if variable.startswith("AIRFLOW__"):
                _, section, option = variable.split("__")
                assert option.lower() in known[section.lower()]["options"], variable


def test_airflow_knows_its_commands(services: dict[str, Any]) -> None:
    from airflow.cli.cli_parser import get_parser

    for name in AIRFLOW:
        words = services[f"airflow-{name}"]["command"]
        if words[0] == "sh":
            words = shlex.split(words[-1].splitlines()[-1])[1:]
        assert words[0] == "airflow"
        assert callable(get_parser().parse_args(words[1:]).func)


def test_the_schedulers_settings(services: dict[str, Any]) -> None:
    environment = services["airflow-scheduler"]["environment"]
    found = Settings.from_environment(environment)
    assert (found.runtime, found.storage, found.model) == ("local", "s3://airscript", CHAMPION_MODEL)
    assert (found.mlflow, found.kafka) == ("http://mlflow:5000", "")
    sources = [path.read_text() for room in ("dags", "tasks", "training") for path in (CHECKOUT / room).rglob("*.py")]
    for name in environment:
        if name.startswith("AIRSCRIPT_"):
            assert any(f'"{name}"' in source for source in sources), f"nothing reads {name}"
    assert json.loads(environment["AIRFLOW_CONN_AIRSCRIPT_KAFKA"])["extra"]["enable.auto.commit"] == "false"


def test_the_api_server_starts_with_the_password_in_a_private_file(services: dict[str, Any], tmp_path: Path) -> None:
    service = services["airflow-apiserver"]
    shell, flag, script = service["command"]
    program = tmp_path / "airflow"
    program.write_text('#!/bin/sh\necho "$@" "${AIRFLOW_ADMIN_PASSWORD-unset}"\n')
    program.chmod(0o755)
    environment = {**service["environment"], "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    moved = script.replace("/tmp/", f"{tmp_path}/")
    done = subprocess.run([shell, flag, moved], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "api-server unset\n"
    passwords = tmp_path / Path(environment["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"]).name
    assert json.loads(passwords.read_text()) == {"admin": environment["AIRFLOW_ADMIN_PASSWORD"]}
    assert passwords.stat().st_mode & 0o77 == 0


def test_mlflow_is_the_server_of_the_cluster(services: dict[str, Any]) -> None:
    """Its login is tested on a real server in tests/k8s. Here artifacts go through it."""
    pod = next(iter(yaml.safe_load_all(CLUSTER.read_text())))["spec"]["template"]["spec"]
    (accounts,), (container,) = pod["initContainers"], pod["containers"]
    first, *_, last = services["mlflow"]["command"][-1].splitlines()
    assert shlex.split(first) == accounts["command"]
    in_cluster = {"--backend-store-uri=$(DATABASE)", "--default-artifact-root=$(ARTIFACTS)", "--no-serve-artifacts"}
    assert {*shlex.split(last)[1:], *in_cluster} == {*container["args"], "--serve-artifacts"}

    environment = services["mlflow"]["environment"]
    assert environment["DATABASE"] == environment["MLFLOW_BACKEND_STORE_URI"]
    assert {name for name in environment if name.startswith("MLFLOW_")} <= {
        variable["name"] for variable in container["env"]
    } | {"MLFLOW_BACKEND_STORE_URI", "MLFLOW_ARTIFACTS_DESTINATION"}


def test_mlflows_clients_have_accounts(services: dict[str, Any]) -> None:
    passwords = services["mlflow"]["environment"]
    accounts = {}
    for name, service in services.items():
        environment = service["environment"]
        if account := environment.get("MLFLOW_TRACKING_USERNAME"):
            accounts[name] = account
            assert environment["MLFLOW_TRACKING_PASSWORD"] == passwords[account.upper()], name
    assert accounts.pop("airflow-scheduler") == "registrar"
    assert accounts == {name: "reader" for name in services if name.startswith("live-")}


def test_a_live_worker_is_healthy_when_it_is_ready(services: dict[str, Any]) -> None:
    health, port = Health(), free_port()
    stop = serve(WorkerMetrics("prepare"), health, port)
    try:
        for ready in (False, True):
            health.is_ready = ready
            health.beat()
            check = services["live-prepare"]["healthcheck"]["test"]
            assert (exit_code(check, {":9400": f":{port}"}) == 0) == ready
    finally:
        stop()


@pytest.mark.parametrize("component", ["scheduler", "dag-processor", "triggerer"])
def test_a_component_of_airflow_is_healthy_when_the_api_server_says_so(
    services: dict[str, Any], component: str
) -> None:
    service = services[f"airflow-{component}"]
    reported = service["environment"]["COMPONENT"]
    assert reported == component.replace("-", "_")
    for status in ("healthy", "unhealthy"):
        with answering({reported: {"status": status}, "metadatabase": {"status": "healthy"}}) as address:
            moved = {"airflow-apiserver:8080": address}
            code = exit_code(service["healthcheck"]["test"], moved, COMPONENT=reported)
        assert (code == 0) == (status == "healthy")
