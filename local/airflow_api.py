"""Airflow's public REST API, as much of it as a laptop needs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ConfigDict

from local.settings import USER, Laptop, LaptopError

TIMEOUT_S = 20.0
PATIENCE_S = 120.0
"""A restarted API server is back within this time even on a busy machine."""


class Answer(BaseModel):
    """Part of an answer; fields that we do not use are left out."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class DagRun(Answer):
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


class TaskInstance(Answer):
    task_id: str
    map_index: int
    state: str | None
    try_number: int
    start_date: datetime | None = None
    end_date: datetime | None = None
    duration: float | None = None
    rendered_map_index: str | None = None


class ImportFault(Answer):
    filename: str
    stack_trace: str


@dataclass(frozen=True)
class Health:
    """Status and last heartbeat (seconds since the epoch, 0 for none) of each component."""

    components: dict[str, tuple[str, float]]

    def is_healthy_since(self, service: str, born: float) -> bool:
        """Healthy by a heartbeat of this life, not of the one before."""
        status, heartbeat = self.components.get(service.replace("-", "_"), ("", 0.0))
        return status == "healthy" and heartbeat >= born


def is_answering(url: str) -> bool:
    """Whether a GET comes back with success."""
    try:
        # Without `verify` httpx reads all certificates of the system at every call.
        return httpx.get(url, timeout=5, trust_env=False, verify=False).is_success
    except httpx.HTTPError:
        return False


class AirflowApi:
    """A client for one laptop. Proxies of the environment are not used: the server is on this machine.

    `tend` is called again and again while the server does not answer, so that somebody may start it again.
    """

    def __init__(self, laptop: Laptop, tend: Callable[[], None] = lambda: None) -> None:
        self._laptop, self._tend = laptop, tend
        self._http = httpx.Client(base_url=laptop.airflow_url, timeout=TIMEOUT_S, trust_env=False, verify=False)
        self._token = ""

    def health(self) -> Health:
        """Raises httpx.HTTPError when the server does not answer."""
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
        """The DAGs that were parsed."""
        return {dag["dag_id"] for dag in self._get("/api/v2/dags", limit=500)["dags"]}

    def import_faults(self) -> list[ImportFault]:
        """DAG files that could not be imported."""
        return [ImportFault(**fault) for fault in self._get("/api/v2/importErrors")["import_errors"]]

    def unpause(self, dag_id: str) -> None:
        self._send("PATCH", f"/api/v2/dags/{dag_id}", {"is_paused": False})

    def task_ids(self, dag_id: str) -> list[str]:
        """Tasks of a DAG, each after those that it waits for."""
        tasks = {task["task_id"]: task for task in self._get(f"/api/v2/dags/{dag_id}/tasks")["tasks"]}
        return _topological({name: list(task["downstream_task_ids"] or ()) for name, task in tasks.items()})

    # ---- runs ---------------------------------------------------------------------------------------------------

    def trigger(self, dag_id: str, conf: dict[str, Any] | None = None) -> DagRun:
        body = {"logical_date": None, "conf": conf or {}}
        return DagRun(**self._send("POST", f"/api/v2/dags/{dag_id}/dagRuns", body))

    def runs(self, dag_id: str, *states: str) -> list[DagRun]:
        """Runs in these states, the newest first."""
        query = {"order_by": "-run_after", "limit": 20, **({"state": list(states)} if states else {})}
        return [DagRun(**run) for run in self._get(f"/api/v2/dags/{dag_id}/dagRuns", **query)["dag_runs"]]

    def run(self, dag_id: str, run_id: str) -> DagRun:
        return DagRun(**self._get(_run_path(dag_id, run_id)))

    def task_instances(self, run: DagRun) -> list[TaskInstance]:
        """Every task instance of a run, mapped ones one by one."""
        found: list[TaskInstance] = []
        while True:
            page = self._get(f"{_run_path(run.dag_id, run.dag_run_id)}/taskInstances", limit=500, offset=len(found))
            found += [TaskInstance(**instance) for instance in page["task_instances"]]
            if not page["task_instances"] or len(found) >= page["total_entries"]:
                return found

    def runs_caused_by(self, run: DagRun, dag_id: str) -> list[str]:
        """Ids of the runs of `dag_id` that assets written by `run` have started."""
        events = self._get("/api/v2/assets/events", source_dag_id=run.dag_id, source_run_id=run.dag_run_id, limit=100)
        return [
            caused["run_id"]
            for event in events["asset_events"]
            for caused in event["created_dagruns"]
            if caused["dag_id"] == dag_id
        ]

    def url(self, run: DagRun, instance: TaskInstance | None = None) -> str:
        """The page of a run, or of one of its tasks, in the browser."""
        page = f"{self._laptop.airflow_url}/dags/{run.dag_id}/runs/{quote(run.dag_run_id, safe='')}"
        if instance is None:
            return page
        mapped = f"/mapped/{instance.map_index}" if instance.map_index >= 0 else ""
        return f"{page}/tasks/{quote(instance.task_id)}{mapped}"

    def log_lines(self, run: DagRun, instance: TaskInstance) -> list[str]:
        """The log of a task instance's last attempt, as a person reads it."""
        path = f"{_run_path(run.dag_id, run.dag_run_id)}/taskInstances/{quote(instance.task_id)}/logs/"
        try:
            body = self._get(f"{path}{max(instance.try_number, 1)}", map_index=instance.map_index, full_content="true")
        except httpx.HTTPStatusError:
            return []
        return [line if isinstance(line, str) else _log_line(line) for line in body["content"]]

    # ---- transport ----------------------------------------------------------------------------------------------

    def _get(self, path: str, **query: Any) -> Any:
        return self._request("GET", path, params=query)

    def _send(self, method: str, path: str, body: dict[str, Any]) -> Any:
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
                    self._token = ""  # expired; a wrong password is told by the log-in
                elif not response.is_server_error:
                    return response.raise_for_status().json()
                problem = f"status {response.status_code}"
            except httpx.TransportError as error:
                # It is being started again, or the machine is too busy to answer.
                problem = str(error) or type(error).__name__
            if time.monotonic() - began > PATIENCE_S:
                log = self._laptop.logs / "api-server.log"
                raise LaptopError(f"Airflow at {self._laptop.airflow_url} does not answer ({problem}). See {log}")
            self._tend()
            time.sleep(1)

    def _log_in(self) -> str:
        body = {"username": USER, "password": self._laptop.credentials().password}
        response = self._http.post("/auth/token", json=body)
        if response.status_code == httpx.codes.UNAUTHORIZED:
            raise LaptopError(
                f"{self._laptop.airflow_url} refuses our password: another Airflow seems to answer there. "
                "Stop it, or set AIRSCRIPT_AIRFLOW_PORT."
            )
        return str(response.raise_for_status().json()["access_token"])


def _log_line(line: dict[str, Any]) -> str:
    """A structured line as text, with the exceptions that it tells of."""
    faults = [f"{fault['exc_type']}: {fault['exc_value']}" for fault in line.get("error_detail") or ()]
    return "; ".join([str(line.get("event", "")), *faults])


def _run_path(dag_id: str, run_id: str) -> str:
    return f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}"


def _topological(downstream: dict[str, list[str]]) -> list[str]:
    waits_for = dict.fromkeys(downstream, 0)
    for names in downstream.values():
        for name in names:
            waits_for[name] += 1
    ordered: list[str] = []
    ready = [name for name, count in waits_for.items() if not count]
    while ready:
        name = ready.pop(0)
        ordered.append(name)
        for follower in downstream[name]:
            waits_for[follower] -= 1
            if not waits_for[follower]:
                ready.append(follower)
    return ordered
