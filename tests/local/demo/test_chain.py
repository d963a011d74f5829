"""The chain against scripted runs, without a scheduler: triggering, following, resuming, error messages."""

import io
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from local.airflow_api import AirflowApi, DagRun, TaskInstance, topological_order
from local.demo import chain as chain_module
from local.demo.chain import Chain, RunFailed
from local.demo.display import ChainDisplay
from tasks.contract import ExitCode, Reason, Receipt, Status

DAGS = ("first", "second")
NOW = datetime(2026, 1, 2, tzinfo=UTC)


class ScriptedAirflow:
    """Runs that advance through the given states, one at each poll."""

    def __init__(self, **runs: list[str]) -> None:
        self.states = runs
        self.triggered: list[str] = []
        self.caused: dict[str, str] = {}
        self.instances: list[TaskInstance] = []
        self.existing: tuple[str, ...] = ()

    def trigger(self, dag_id: str, conf: dict[str, Any] | None = None) -> DagRun:
        self.triggered.append(dag_id)
        return self.run(dag_id, f"{dag_id}-1")

    def run(self, dag_id: str, run_id: str) -> DagRun:
        states = self.states[run_id.replace("-", "_")]
        state = states.pop(0) if len(states) > 1 else states[0]
        return DagRun(
            dag_id=dag_id,
            dag_run_id=run_id,
            state=state,
            start_date=NOW,
            end_date=NOW,
            run_after=NOW,
            run_type="manual",
        )

    def runs(self, dag_id: str, *states: str) -> list[DagRun]:
        return [
            DagRun(dag_id=dag_id, dag_run_id=name, state=state, run_after=NOW, run_type="manual")
            for name in self.existing
            if name.startswith(dag_id) and (state := self.states[name.replace("-", "_")][0]) in states
        ]

    def runs_caused_by(self, run: DagRun, _dag_id: str) -> list[str]:
        return [self.caused[run.dag_run_id]] if run.dag_run_id in self.caused else []

    def task_ids(self, _dag_id: str) -> list[str]:
        return ["work"]

    def task_instances(self, _run: DagRun) -> list[TaskInstance]:
        return self.instances

    def log_lines(self, _run: DagRun, _instance: TaskInstance) -> list[str]:
        return [f"line {n}" for n in range(40)]

    def url(self, run: DagRun, instance: TaskInstance | None = None) -> str:
        return f"http://airflow/{run.dag_run_id}/{instance.task_id if instance else ''}"


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1, 100_000))
    monkeypatch.setattr(chain_module, "time", SimpleNamespace(sleep=lambda _: None, monotonic=lambda: next(clock)))


def follow(airflow: ScriptedAirflow, receipts: Path) -> tuple[list[str], str]:
    """Ids of the finished runs, and the output."""
    output = io.StringIO()
    api: Any = airflow
    chain = Chain(api, DAGS, receipts, ChainDisplay(Console(file=output, width=200)), keep_alive=lambda: None)
    return [item.run.dag_run_id for item in chain.run()], output.getvalue()


def test_the_run_triggered_by_an_asset_is_followed(tmp_path: Path) -> None:
    airflow = ScriptedAirflow(first_1=["queued", "running", "success"], second_7=["queued", "success"])
    airflow.caused = {"first-1": "second-7"}
    assert follow(airflow, tmp_path)[0] == ["first-1", "second-7"]
    assert airflow.triggered == ["first"]


def test_without_an_asset_event_the_next_run_is_triggered(tmp_path: Path) -> None:
    airflow = ScriptedAirflow(first_1=["success"], second_1=["success"])
    finished, output = follow(airflow, tmp_path)
    assert finished == ["first-1", "second-1"]
    assert airflow.triggered == ["first", "second"]
    assert "first published nothing new: triggering second directly" in output


def test_an_interrupted_chain_is_resumed(tmp_path: Path) -> None:
    airflow = ScriptedAirflow(first_5=["success"], second_6=["running", "running", "success"])
    airflow.existing = ("first-5", "second-6")
    finished, output = follow(airflow, tmp_path)
    assert finished == ["first-5", "second-6"]
    assert airflow.triggered == []
    assert "resuming second, run second-6" in output


def test_a_failed_task_is_reported_with_reason_log_and_next_step(tmp_path: Path) -> None:
    airflow = ScriptedAirflow(first_1=["running", "failed"])
    failed = TaskInstance(
        task_id="work", map_index=2, state="failed", try_number=3, end_date=NOW, rendered_map_index="evening-news"
    )
    airflow.instances = [failed]
    receipt = Receipt(
        step="prepare-corpus",
        status=Status.FAILED,
        exit_code=ExitCode.FAULT,
        reason=Reason.DISK_FULL,
        error="no space left (free some space, then start again)",
    )
    receipts = tmp_path / "role" / "first" / "first-1"
    receipts.mkdir(parents=True)
    (receipts / "work-2.json").write_text(receipt.model_dump_json())
    with pytest.raises(RunFailed) as caught:
        follow(airflow, tmp_path)
    message = str(caught.value)
    assert "first: task work [evening-news] failed on attempt 3" in message
    assert "disk_full (exit code 70): no space left (free some space, then start again)" in message
    assert "line 39" in message
    assert "line 10" not in message
    assert "http://airflow/first-1/work" in message
    assert "make demo" in message


def test_tasks_are_in_topological_order() -> None:
    assert topological_order({"c": [], "a": ["b", "c"], "b": ["c"]}) == ["a", "b", "c"]


def test_addresses_of_runs_are_percent_encoded() -> None:
    installation: Any = SimpleNamespace(airflow_url="http://127.0.0.1:1")
    run = DagRun(dag_id="d", dag_run_id="manual__2026-01-02T03:04:05+00:00", state="failed", run_after=NOW)
    mapped = TaskInstance(task_id="g.t", map_index=3, state="failed", try_number=1)
    page = "http://127.0.0.1:1/dags/d/runs/manual__2026-01-02T03%3A04%3A05%2B00%3A00"
    assert AirflowApi(installation).url(run) == page
    assert AirflowApi(installation).url(run, mapped) == f"{page}/tasks/g.t/mapped/3"
