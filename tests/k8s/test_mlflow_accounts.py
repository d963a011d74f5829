"""MLflow as the cluster runs it: the manifest's command line and accounts, with a real server."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dags.common.profiles import MLFLOW_ACCOUNTS
from local.ports import free_port
from tests.k8s.manifests import CHECKOUT, K8S

ACCOUNTS = CHECKOUT / "images" / "mlflow" / "accounts.py"
PASSWORDS = {name: f"{name}-has-a-password" for name in ("reader", "trainer", "registrar")}
START_S = 600.0

pytestmark = pytest.mark.timeout(1500)  # MLflow's server and client import for half a minute of processor time in all


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server with accounts, started as in k8s/base/mlflow.yaml, with SQLite and a folder."""
    folder, port = tmp_path_factory.mktemp("mlflow"), free_port()
    deployment = next(iter(yaml.safe_load_all((K8S / "base" / "mlflow.yaml").read_text())))
    pod = deployment["spec"]["template"]["spec"]
    (accounts,), (container,) = pod["initContainers"], pod["containers"]
    assert accounts["command"][1:] == ["/opt/airscript/accounts.py"]
    values = {"DATABASE": f"sqlite:///{folder / 'mlflow.db'}", "ARTIFACTS": (folder / "artifacts").as_uri()}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")} | {
        **values,
        **{name.upper(): password for name, password in PASSWORDS.items()},
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "login.ini"),
        "MLFLOW_AUTH_ADMIN_PASSWORD": "admin-has-a-password",
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "a-key",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    asked = {variable["name"] for part in (accounts, container) for variable in part["env"]}
    assert {name.upper() for name in PASSWORDS} | set(values) <= asked
    # Twice, as at each start of the pod; in one process, because MLflow takes ten seconds to import.
    twice = f"import runpy\nfor _ in range(2): runpy.run_path({str(ACCOUNTS)!r}, run_name='__main__')"
    subprocess.run([sys.executable, "-c", twice], env=environment, check=True, capture_output=True)
    assert (folder / "login.ini").stat().st_mode & 0o77 == 0
    words = [
        word.replace("--host=0.0.0.0", "--host=127.0.0.1").replace("=5000", f"={port}") for word in container["args"]
    ]
    for name, value in values.items():
        words = [word.replace(f"$({name})", value) for word in words]
    words = [word.replace("--workers=2", "--workers=1") for word in words]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", *words], env=environment, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + START_S
        while True:
            try:
                urllib.request.urlopen(f"{url}/health", timeout=5).close()
                break
            except OSError:
                assert time.monotonic() < deadline, (folder / "log").read_text()[-2000:]
                assert process.poll() is None, (folder / "log").read_text()[-2000:]
                time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def log_in(server: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """A client of the server with an account's login."""

    def client(account: str, password: str = "") -> Any:
        from mlflow import MlflowClient

        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", account)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password or PASSWORDS[account])
        return MlflowClient(tracking_uri=server, registry_uri=server)

    return client


def denied(call: Callable[..., object], *arguments: object, **named: object) -> None:
    from mlflow.exceptions import MlflowException

    with pytest.raises(MlflowException, match=r"Permission denied|PERMISSION_DENIED|not authenticated|401|403"):
        call(*arguments, **named)


def test_the_accounts_are_those_of_the_roles() -> None:
    assert set(PASSWORDS) == set(MLFLOW_ACCOUNTS.values())


def test_only_the_registrar_registers_and_moves_the_champion(log_in: Callable[..., Any], tmp_path: Path) -> None:
    trainer = log_in("trainer")
    experiment = trainer.create_experiment("acoustic-model")
    run = trainer.create_run(experiment)
    trainer.log_metric(run.info.run_id, "loss", 1.0)
    source = f"{run.info.artifact_uri}/model"
    denied(trainer.create_model_version, "acoustic-model", source)
    denied(trainer.set_registered_model_alias, "acoustic-model", "champion", "1")

    registrar = log_in("registrar")
    version = registrar.create_model_version(
        "acoustic-model", source, run_id=run.info.run_id, tags={"model_digest": "a"}
    )
    registrar.set_registered_model_alias("acoustic-model", "champion", version.version)
    registrar.log_metric(run.info.run_id, "test_wer", 0.1)

    reader = log_in("reader")
    assert reader.get_model_version_by_alias("acoustic-model", "champion").version == version.version
    for call in (
        lambda: reader.set_registered_model_alias("acoustic-model", "champion", version.version),
        lambda: reader.delete_registered_model_alias("acoustic-model", "champion"),
        lambda: reader.set_model_version_tag("acoustic-model", version.version, "model_digest", "b"),
        lambda: reader.create_model_version("acoustic-model", source),
        lambda: reader.log_metric(run.info.run_id, "test_wer", 0.0),
        lambda: reader.create_run(experiment),
        lambda: reader.rename_registered_model("acoustic-model", "another"),
    ):
        denied(call)
    trainer = log_in("trainer")
    denied(trainer.set_model_version_tag, "acoustic-model", version.version, "model_digest", "b")


def test_nobody_gets_in_without_a_password(log_in: Callable[..., Any]) -> None:
    denied(log_in("reader", "wrong").search_registered_models)
    denied(log_in("stranger", "a-long-password").search_registered_models)
