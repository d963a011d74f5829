"""Metrics reach MLflow while training runs, and survive an outage of the server."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from training.registry import tracking


class Flaky:
    """A real client with simulated outages."""

    def __init__(self, client: MlflowClient) -> None:
        self._client, self.is_down = client, False

    def log_batch(self, run_id: str, metrics: list[object]) -> None:
        if self.is_down:
            raise MlflowException("connection refused")
        self._client.log_batch(run_id, metrics=metrics)

    def set_terminated(self, run_id: str, status: str) -> None:
        if self.is_down:
            raise MlflowException("connection refused")
        self._client.set_terminated(run_id, status)


@pytest.fixture
def client(mlflow_store: str) -> MlflowClient:
    return tracking.connect()


@pytest.fixture
def run_id(client: MlflowClient) -> str:
    return client.create_run(tracking.experiment_id(client, "test")).info.run_id


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "FLUSH_EVERY_S", 0.05)
    monkeypatch.setattr(tracking, "RETRY_EVERY_S", 0.05)
    monkeypatch.setattr(tracking, "CLOSING_PAUSE_S", 0.01)


def wait_for(condition: object, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_metrics_appear_while_the_run_is_going(client: MlflowClient, run_id: str) -> None:
    live = tracking.LiveRun(client, run_id)
    live.log(1, {"loss": 2.5})
    wait_for(lambda: client.get_metric_history(run_id, "loss"))
    assert client.get_run(run_id).info.status == "RUNNING"
    assert live.close("FINISHED") == 0
    assert client.get_run(run_id).info.status == "FINISHED"


def test_everything_is_sent_after_an_outage(client: MlflowClient, run_id: str) -> None:
    flaky = Flaky(client)
    live = tracking.LiveRun(flaky, run_id)
    flaky.is_down = True
    for step in range(1, 2501):  # more than one request holds
        live.log(step, {"loss": 1 / step})
    time.sleep(0.3)
    assert not client.get_metric_history(run_id, "loss")
    flaky.is_down = False
    assert live.close("FINISHED") == 0
    assert len(client.get_metric_history(run_id, "loss")) == 2500


def test_a_lasting_outage_costs_metrics_not_the_run(client: MlflowClient, run_id: str) -> None:
    flaky = Flaky(client)
    flaky.is_down = True
    live = tracking.LiveRun(flaky, run_id)
    live.log(1, {"loss": 1.0, "wer": 0.5})
    assert live.close("FINISHED") == 2


def test_links_use_the_browser_url_and_requests_the_tracking_uri(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.airscript.svc:5000")
    assert tracking.version_url("m", 3) == "http://mlflow.airscript.svc:5000/#/models/m/versions/3"
    monkeypatch.setenv("AIRSCRIPT_MLFLOW_URL", "https://mlflow.example.org/")
    assert tracking.version_url("m", 3) == "https://mlflow.example.org/#/models/m/versions/3"
    assert (
        tracking.artifact_url("1", "r", "a.html")
        == "https://mlflow.example.org/#/experiments/1/runs/r/artifacts/a.html"
    )
    assert tracking.tracking_uri() == "http://mlflow.airscript.svc:5000"


def test_uploads_have_a_longer_timeout(
    client: MlflowClient, run_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_TIMEOUT

    from training.registry import versions

    allowed_s = []
    monkeypatch.setattr(client, "log_artifacts", lambda *_: allowed_s.append(MLFLOW_HTTP_REQUEST_TIMEOUT.get()))
    before_s = MLFLOW_HTTP_REQUEST_TIMEOUT.get()
    versions.register(client, "model", "0" * 64, tmp_path, run_id, {}, "")
    assert allowed_s == [tracking.UPLOAD_TIMEOUT_S]
    assert MLFLOW_HTTP_REQUEST_TIMEOUT.get() == before_s < 60


def test_a_store_without_a_server_keeps_artifacts_beside_it(client: MlflowClient, mlflow_store: str) -> None:
    """MLflow's default would be the working directory."""
    experiment = client.get_experiment(tracking.experiment_id(client, "here"))
    folder = mlflow_store.removeprefix("sqlite:///").rsplit("/", 1)[0]
    assert experiment.artifact_location == f"file://{folder}/artifacts/here"
    assert tracking.experiment_id(client, "here") == experiment.experiment_id


def test_a_deleted_experiment_is_restored(client: MlflowClient) -> None:
    first = tracking.experiment_id(client, "again")
    client.delete_experiment(first)
    assert tracking.experiment_id(client, "again") == first


def test_a_deleted_run_is_restored_and_a_missing_one_reported(client: MlflowClient, run_id: str) -> None:
    assert tracking.reopen(client, run_id)
    assert not tracking.reopen(client, "0" * 32)
    client.delete_run(run_id)
    assert tracking.reopen(client, run_id)
    assert client.get_run(run_id).info.lifecycle_stage == "active"
