"""A training run in MLflow, fed while it runs.

Metrics go through a thread with a buffer: a tracking server that is away for a while costs a warning, not the run.
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
MAX_BATCH = 1000  # metrics in one request: MLflow's own limit
MAX_BUFFERED = 200_000
CLOSING_PAUSE_S = 2.0
ENDED_BECAUSE = "airscript.ended_because"
UPLOAD_TIMEOUT_S = 3600
MAX_TAG = 4000  # characters; MLflow takes 5000
_OPENING_TRIES = 3


def tracking_uri() -> str:
    """Where MLflow is (`MLFLOW_TRACKING_URI`)."""
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
    """A client that answers, or a clear error.

    MLflow would retry a request for minutes; a run has its own patience, so one request fails fast.

    Raises:
        Misconfigured: nothing at `MLFLOW_TRACKING_URI` answers as MLflow does.
    """
    uri = tracking_uri()
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    from mlflow import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    registry = os.environ.get("MLFLOW_REGISTRY_URI", uri)
    fault: Exception | None = None
    for attempt in range(_OPENING_TRIES):
        try:
            client = MlflowClient(tracking_uri=uri, registry_uri=registry)
            client.search_experiments(max_results=1)
            return client
        except Exception as error:  # MLflow lets through what its stores raise: requests, sqlalchemy, its own
            fault = error
            time.sleep(attempt + 1.0)
    raise Misconfigured(
        f"MLflow does not answer: {type(fault).__name__}: {str(fault).splitlines()[0][:200]}",
        reason=Reason.INVALID_ARGUMENT,
        subject=uri,
        next_step="start it, or set MLFLOW_TRACKING_URI to where it is",
    )


@contextmanager
def uploading() -> Iterator[None]:
    """Inside, a request may last: a server answers an upload only when it has stored gigabytes."""
    patience = {"MLFLOW_HTTP_REQUEST_TIMEOUT": str(UPLOAD_TIMEOUT_S), "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "5"}
    before = {name: os.environ.get(name) for name in patience}
    os.environ.update(patience)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def experiment_id(client: MlflowClient, name: str) -> str:
    """The experiment's id; it is made when it is not there. Several steps may try at once."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location=_artifacts(tracking_uri(), name)))
        except MlflowException:
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def _artifacts(uri: str, experiment: str) -> str | None:
    """A server decides itself where artifacts lie. A bare SQLite file would put them into the working directory."""
    if not uri.startswith("sqlite:///"):
        return None
    from tasks import storage

    database = uri.removeprefix("sqlite:///")
    return storage.join(storage.parent(storage.file_uri(database)), "artifacts", experiment)


def log_parameters(client: MlflowClient, run_id: str, parameters: Mapping[str, object]) -> None:
    """What decides the run, for comparing runs in MLflow's table."""
    from mlflow.entities import Param

    client.log_batch(run_id, params=[Param(name, str(value)) for name, value in parameters.items()])


def reopen(client: MlflowClient, run_id: str) -> bool:
    """Whether the run is still there; if so, it is marked as running again."""
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
    """Whether the run is there and not deleted."""
    from mlflow.exceptions import MlflowException

    try:
        return bool(client.get_run(run_id).info.lifecycle_stage == "active")
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise


def server_url() -> str:
    """MLflow's server as people reach it (`AIRSCRIPT_MLFLOW_URL`, by default as steps do); empty where none is."""
    url = os.environ.get("AIRSCRIPT_MLFLOW_URL") or tracking_uri()
    return url.rstrip("/") if url.startswith(("http://", "https://")) else ""


def version_url(name: str, version: int) -> str:
    """Where a person sees a model version."""
    if server := server_url():
        return f"{server}/#/models/{name}/versions/{version}"
    return f"models:/{name}/{version} in {tracking_uri()}"


def run_url(experiment: str, run_id: str) -> str:
    """Where a person sees the run: a page of the server, or the command that shows a local store."""
    if server := server_url():
        return f"{server}/#/experiments/{experiment}/runs/{run_id}"
    uri = tracking_uri()
    return f"{uri} run {run_id} (mlflow ui --backend-store-uri {uri})"


def artifact_url(experiment: str, run_id: str, path: str) -> str:
    """Where a browser shows one of the run's artifacts; empty where no server does."""
    return f"{run_url(experiment, run_id)}/artifacts/{path}" if server_url() else ""


class LiveRun:
    """One MLflow run that takes metrics at any time."""

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self.run_id = run_id
        self._client = client
        self._buffer: list[Metric] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._failing = False
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)
        self._thread.start()

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Hand over metrics; returns at once."""
        from mlflow.entities import Metric

        now_ms = int(time.time() * 1000)
        with self._lock:
            self._buffer += [Metric(name, float(value), now_ms, step) for name, value in metrics.items()]
            del self._buffer[:-MAX_BUFFERED]

    def close(self, status: str, because: str = "") -> int:
        """Send what is left and end the run as FINISHED, FAILED or KILLED. Returns how many metrics were lost."""
        self._closing.set()
        self._thread.join()
        for _ in range(_OPENING_TRIES):
            if not self._buffer or self._flush():
                break
            time.sleep(CLOSING_PAUSE_S)
        try:
            self._client.set_tag(self.run_id, ENDED_BECAUSE, because[:MAX_TAG])  # empty: an earlier attempt's is gone
            self._client.set_terminated(self.run_id, status)
        except Exception as error:
            log.warning("MLflow does not take the run's end", error=_first_line(error))
        return len(self._buffer)

    def _work(self) -> None:
        while not self._closing.wait(RETRY_EVERY_S if self._failing else FLUSH_EVERY_S):
            self._flush()

    def _flush(self) -> bool:
        """Send the buffer. What could not be sent stays in it."""
        while True:
            with self._lock:
                batch = self._buffer[:MAX_BATCH]
            if not batch:
                return True
            try:
                self._client.log_batch(self.run_id, metrics=batch)
            except Exception as error:
                if not self._failing:
                    log.warning("MLflow does not take metrics, trying again later", error=_first_line(error))
                self._failing = True
                return False
            if self._failing:
                log.info("MLflow takes metrics again")
            self._failing = False
            with self._lock:
                del self._buffer[: len(batch)]


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}"
