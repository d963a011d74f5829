"""A client for the parts of Airflow's REST API that the local commands need."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ConfigDict

from local.settings import USER, Installation, UserError

TIMEOUT_S = 20.0
RETRY_TIMEOUT_S = 120.0
"""A restarted API server is back within this time even on a busy machine."""


class Response(BaseModel):
    """Base of response models; fields that are not declared are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class DagRun(Response):
    dag_id: str
    dag_run_id: str
    state: str
    run_type: str = ""
    start_date: datetime | None = None
    end_date: datetime | None = None
    run_after: datetime

    @property
    def is_over(self) -> bool:
        return self.state in ("success", "failed")


class TaskInstance(Response):
    task_id: str
    map_index: int
    state: str | None
    try_number: int
    start_date: datetime | None = None
    end_date: datetime | None = None
    duration: float | None = None
    rendered_map_index: str | None = None


class DagImportError(Response):
    filename: str
    stack_trace: str


@dataclass(frozen=True)
class Health:
    """Status and last heartbeat (seconds since the epoch, 0 for none) of each component."""

    components: dict[str, tuple[str, float]]

    def is_healthy_since(self, service: str, started_at: float) -> bool:
        """Whether the service is healthy by a heartbeat since `started_at`; an older one is that of its predecessor."""
        status, heartbeat = self.components.get(service.replace("-", "_"), ("", 0.0))
        return status == "healthy" and heartbeat >= started_at


def is_answering(url: str) -> bool:
    """Whether a GET request succeeds."""
    try:
        # verify=False: otherwise httpx loads all CA certificates of the system at every call.
        return httpx.get(url, timeout=5, trust_env=False, verify=False).is_success
    except httpx.HTTPError:
        return False


class AirflowApi:
    """A client for one installation. Ignores the environment's proxies: the server is on this machine.

    Requests are retried while the server does not answer; `on_retry` is called before each retry and may restart it.
    """

    def __init__(self, installation: Installation, on_retry: Callable[[], None] = lambda: None) -> None:
        self._installation, self._on_retry = installation, on_retry
        self._http = httpx.Client(base_url=installation.airflow_url, timeout=TIMEOUT_S, trust_env=False, verify=False)
        self._token = ""

    def health(self) -> Health:
        """The health of all components. Raises `httpx.HTTPError` if the server does not answer."""
        body = self._http.get("/api/v2/monitor/health", timeout=5).raise_for_status().json()
        components = {}
        for name, facts in body.items():
            heartbeat = (facts or {}).get(f"latest_{name}_heartbeat")
            components[name] = (
                (facts or {}).get("status") or "",
                datetime.fromisoformat(heartbeat).timestamp() if heartbeat else 0.0,
            )
        return Health(components)

    # ---- DAGs ---------------------------------------------------------------------------------------------------

    def dag_ids(self) -> set[str]:
        """The DAGs parsed so far."""
        return {dag["dag_id"] for dag in self._get("/api/v2/dags", limit=500)["dags"]}

    def import_errors(self) -> list[DagImportError]:
        """The DAG files that could not be imported."""
        return [DagImportError(**error) for error in self._get("/api/v2/importErrors")["import_errors"]]

    def unpause(self, dag_id: str) -> None:
        self.send("PATCH", f"/api/v2/dags/{dag_id}", {"is_paused": False})

    def task_ids(self, dag_id: str) -> list[str]:
        """The DAG's tasks in topological order."""
        tasks = {task["task_id"]: task for task in self._get(f"/api/v2/dags/{dag_id}/tasks")["tasks"]}
        return topological_order({name: list(task["downstream_task_ids"] or ()) for name, task in tasks.items()})

    # ---- runs ---------------------------------------------------------------------------------------------------

    def trigger(self, dag_id: str, conf: dict[str, Any] | None = None) -> DagRun:
        body = {"logical_date": None, "conf": conf or {}}
        return DagRun(**self.send("POST", f"/api/v2/dags/{dag_id}/dagRuns", body))

    def runs(self, dag_id: str, *states: str) -> list[DagRun]:
        """Runs in these states (default: any), newest first."""
        query = {"order_by": "-run_after", "limit": 20, **({"state": list(states)} if states else {})}
        return [DagRun(**run) for run in self._get(f"/api/v2/dags/{dag_id}/dagRuns", **query)["dag_runs"]]

    def run(self, dag_id: str, run_id: str) -> DagRun:
        return DagRun(**self._get(_run_path(dag_id, run_id)))

    def task_instances(self, run: DagRun) -> list[TaskInstance]:
        """All task instances of a run, one for each map index."""
        instances: list[TaskInstance] = []
        while True:
            page = self._get(f"{_run_path(run.dag_id, run.dag_run_id)}/taskInstances", limit=500, offset=len(instances))
            instances += [TaskInstance(**instance) for instance in page["task_instances"]]
            if not page["task_instances"] or len(instances) >= page["total_entries"]:
                return instances

    def runs_caused_by(self, run: DagRun, dag_id: str) -> list[str]:
        """Ids of the runs of `dag_id` triggered by asset events of `run`."""
        events = self._get("/api/v2/assets/events", source_dag_id=run.dag_id, source_run_id=run.dag_run_id, limit=100)
        return [
            triggered["run_id"]
            for event in events["asset_events"]
            for triggered in event["created_dagruns"]
            if triggered["dag_id"] == dag_id
        ]

    def url(self, run: DagRun, instance: TaskInstance | None = None) -> str:
        """The address of a run, or of one of its task instances, in the UI."""
        page = f"{self._installation.airflow_url}/dags/{run.dag_id}/runs/{quote(run.dag_run_id, safe='')}"
        if instance is None:
            return page
        mapped = f"/mapped/{instance.map_index}" if instance.map_index >= 0 else ""
        return f"{page}/tasks/{quote(instance.task_id)}{mapped}"

    def log_lines(self, run: DagRun, instance: TaskInstance) -> list[str]:
        """The log of a task instance's last attempt as plain lines; empty if there is none."""
        path = f"{_run_path(run.dag_id, run.dag_run_id)}/taskInstances/{quote(instance.task_id)}/logs/"
        try:
            body = self._get(f"{path}{max(instance.try_number, 1)}", map_index=instance.map_index, full_content="true")
        except httpx.HTTPStatusError:
            return []
        return [line if isinstance(line, str) else _log_line(line) for line in body["content"]]

    # ---- transport ----------------------------------------------------------------------------------------------

    def _get(self, path: str, **query: Any) -> Any:
        return self._request("GET", path, params=query)

    def send(self, method: str, path: str, body: dict[str, Any]) -> Any:
        """Send a JSON body, and return the body of the response."""
        return self._request(method, path, json=body)

    def _request(self, method: str, path: str, **arguments: Any) -> Any:
        began = time.monotonic()
        while True:
            try:
                if not self._token:
                    self._token = self._log_in()
                headers = {"Authorization": f"Bearer {self._token}"}
                response = self._http.request(method, path, headers=headers, **arguments)
                if response.status_code == httpx.codes.UNAUTHORIZED:
                    self._token = ""  # expired; _log_in reports a wrong password
                elif not response.is_server_error:
                    return response.raise_for_status().json()
                problem = f"status {response.status_code}"
            except httpx.TransportError as error:
                # The server is restarting, or the machine is too busy to answer.
                problem = str(error) or type(error).__name__
            if time.monotonic() - began > RETRY_TIMEOUT_S:
                log = self._installation.logs / "api-server.log"
                raise UserError(f"Airflow at {self._installation.airflow_url} does not answer ({problem}). See {log}")
            self._on_retry()
            time.sleep(1)

    def _log_in(self) -> str:
        body = {"username": USER, "password": self._installation.credentials().password}
        response = self._http.post("/auth/token", json=body)
        if response.status_code == httpx.codes.UNAUTHORIZED:
            raise UserError(
                f"{self._installation.airflow_url} rejects the password: it seems to be another Airflow. "
                "Stop it, or set AIRSCRIPT_AIRFLOW_PORT."
            )
        return str(response.raise_for_status().json()["access_token"])


def _log_line(line: dict[str, Any]) -> str:
    """A structured log line as text, with its exceptions."""
    errors = [f"{error['exc_type']}: {error['exc_value']}" for error in line.get("error_detail") or ()]
    return "; ".join([str(line.get("event", "")), *errors])


def _run_path(dag_id: str, run_id: str) -> str:
    return f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}"


def topological_order(downstream: dict[str, list[str]]) -> list[str]:
    """Return the tasks in topological order, ties as in `downstream`, which maps a task to those after it."""
    n_upstream = dict.fromkeys(downstream, 0)
    for names in downstream.values():
        for name in names:
            n_upstream[name] += 1
    ordered: list[str] = []
    ready = [name for name, count in n_upstream.items() if not count]
    while ready:
        name = ready.pop(0)
        ordered.append(name)
        for follower in downstream[name]:
            n_upstream[follower] -= 1
            if not n_upstream[follower]:
                ready.append(follower)
    return ordered
