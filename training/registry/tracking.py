"""MLflow tracking: connecting, experiments and runs, and metrics logged while a run trains.

Metrics are buffered and sent by a thread: an outage of the tracking server costs a warning, not the run.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog

from tasks.contract import Misconfigured, Reason

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

log = structlog.get_logger()

FLUSH_EVERY_S = 5.0
RETRY_EVERY_S = 15.0
MAX_BATCH = 1000  # metrics per request, MLflow's limit
MAX_BUFFERED = 200_000
CLOSING_PAUSE_S = 2.0
ENDED_BECAUSE = "airscript.ended_because"
UPLOAD_TIMEOUT_S = 3600
MAX_TAG = 4000  # characters; MLflow takes 5000
CONNECT_ATTEMPTS = 3


def tracking_uri() -> str:
    """Return `MLFLOW_TRACKING_URI`. Raises Misconfigured where it is not set."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri:
        raise Misconfigured(
            "no tracking server is configured",
            reason=Reason.INVALID_ARGUMENT,
            subject="MLFLOW_TRACKING_URI",
            next_step="set it to http://server:5000 or sqlite:////path/mlflow.db",
        )
    return uri


def connect() -> MlflowClient:
    """Connect to MLflow, and check that it answers.

    MLflow would retry each request for minutes. Requests fail fast instead, since callers have retries of their own.

    Raises:
        Misconfigured: no MLflow answers at `MLFLOW_TRACKING_URI`.
    """
    uri = tracking_uri()
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    from mlflow import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    registry = os.environ.get("MLFLOW_REGISTRY_URI", uri)
    last_error: Exception | None = None
    for attempt in range(CONNECT_ATTEMPTS):
        try:
            client = MlflowClient(tracking_uri=uri, registry_uri=registry)
            client.search_experiments(max_results=1)
            return client
        except Exception as error:  # MLflow passes on the exceptions of its stores: requests, sqlalchemy, its own
            last_error = error
            time.sleep(attempt + 1.0)
    raise Misconfigured(
        f"MLflow does not answer: {_first_line(last_error)}",
        reason=Reason.INVALID_ARGUMENT,
        subject=uri,
        next_step="start the server, or correct MLFLOW_TRACKING_URI",
    )


@contextmanager
def upload_timeouts() -> Iterator[None]:
    """Raise the request timeout inside: a server answers an upload only after storing gigabytes."""
    timeouts = {"MLFLOW_HTTP_REQUEST_TIMEOUT": str(UPLOAD_TIMEOUT_S), "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "5"}
    before = {name: os.environ.get(name) for name in timeouts}
    os.environ.update(timeouts)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def experiment_id(client: MlflowClient, name: str) -> str:
    """Return the experiment's id, creating or restoring it if necessary. Several steps may try at once."""
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            return str(client.create_experiment(name, artifact_location=_artifact_location(tracking_uri(), name)))
        except MlflowException:
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                raise
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    return str(experiment.experiment_id)


def _artifact_location(uri: str, experiment: str) -> str | None:
    """Return where to store artifacts, None for the server's default.

    With a bare SQLite store, MLflow's default is the working directory: store them beside the database instead.
    """
    if not uri.startswith("sqlite:///"):
        return None
    from tasks import storage

    database = uri.removeprefix("sqlite:///")
    return storage.join(storage.parent(storage.file_uri(database)), "artifacts", experiment)


def log_parameters(client: MlflowClient, run_id: str, parameters: Mapping[str, object]) -> None:
    """Log parameters, by which MLflow's table compares runs."""
    from mlflow.entities import Param

    client.log_batch(run_id, params=[Param(name, str(value)) for name, value in parameters.items()])


def reopen(client: MlflowClient, run_id: str) -> bool:
    """Mark the run as running again, restoring it if deleted. Return False if it does not exist."""
    from mlflow.exceptions import MlflowException

    try:
        if client.get_run(run_id).info.lifecycle_stage == "deleted":
            client.restore_run(run_id)
        client.update_run(run_id, status="RUNNING")
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise
    return True


def has_run(client: MlflowClient, run_id: str) -> bool:
    """Whether the run exists and is not deleted."""
    from mlflow.exceptions import MlflowException

    try:
        return bool(client.get_run(run_id).info.lifecycle_stage == "active")
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise


def server_url() -> str:
    """Return MLflow's URL for browsers (`AIRSCRIPT_MLFLOW_URL`, default: tracking URI); empty without a server."""
    url = os.environ.get("AIRSCRIPT_MLFLOW_URL") or tracking_uri()
    return url.rstrip("/") if url.startswith(("http://", "https://")) else ""


def version_url(name: str, version: int) -> str:
    """Return the page of a model version, or its URI where there is no server."""
    if server := server_url():
        return f"{server}/#/models/{name}/versions/{version}"
    return f"models:/{name}/{version} in {tracking_uri()}"


def run_url(experiment: str, run_id: str) -> str:
    """Return the page of a run, or the command that shows a local store."""
    if server := server_url():
        return f"{server}/#/experiments/{experiment}/runs/{run_id}"
    uri = tracking_uri()
    return f"{uri} run {run_id} (mlflow ui --backend-store-uri {uri})"


def artifact_url(experiment: str, run_id: str, path: str) -> str:
    """Return the page of a run's artifact; empty without a server."""
    return f"{run_url(experiment, run_id)}/artifacts/{path}" if server_url() else ""


class LiveRun:
    """An MLflow run to which metrics are logged while it trains."""

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self.run_id = run_id
        self._client = client
        self._buffer: list[Metric] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._failing = False
        self._thread = threading.Thread(target=self._flush_periodically, name="mlflow", daemon=True)
        self._thread.start()

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Buffer metrics for sending; returns at once."""
        from mlflow.entities import Metric

        now_ms = int(time.time() * 1000)
        with self._lock:
            self._buffer += [Metric(name, float(value), now_ms, step) for name, value in metrics.items()]
            del self._buffer[:-MAX_BUFFERED]

    def close(self, status: str, because: str = "") -> int:
        """Flush the buffer and end the run as FINISHED, FAILED or KILLED. Return the number of metrics lost."""
        self._closing.set()
        self._thread.join()
        for _ in range(CONNECT_ATTEMPTS):
            if not self._buffer or self._flush():
                break
            time.sleep(CLOSING_PAUSE_S)
        try:
            self._client.set_tag(self.run_id, ENDED_BECAUSE, because[:MAX_TAG])  # clears an earlier attempt's
            self._client.set_terminated(self.run_id, status)
        except Exception as error:
            log.warning("MLflow did not accept the end of the run", error=_first_line(error))
        return len(self._buffer)

    def _flush_periodically(self) -> None:
        while not self._closing.wait(RETRY_EVERY_S if self._failing else FLUSH_EVERY_S):
            self._flush()

    def _flush(self) -> bool:
        """Send the buffer; metrics that could not be sent stay in it. Return whether it is empty."""
        while True:
            with self._lock:
                batch = self._buffer[:MAX_BATCH]
            if not batch:
                return True
            try:
                self._client.log_batch(self.run_id, metrics=batch)
            except Exception as error:
                if not self._failing:
                    log.warning("MLflow does not accept metrics, retrying later", error=_first_line(error))
                self._failing = True
                return False
            if self._failing:
                log.info("MLflow accepts metrics again")
            self._failing = False
            with self._lock:
                del self._buffer[: len(batch)]


def _first_line(error: Exception | None) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}"
