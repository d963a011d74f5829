"""The progress of a DAG run, from Airflow's task instances and the steps' receipts and progress reports."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from local.airflow_api import TaskInstance
from tasks.contract import ProgressReport, Receipt, Status

PROGRESS_SUFFIX = ".progress.json"
DONE_STATES = frozenset({"success", "skipped", "removed"})
FAILED_STATES = frozenset({"failed", "upstream_failed"})

Key = tuple[str, int]
"""Task id and map index, -1 for a task that is not mapped."""


@dataclass(frozen=True)
class StepReports:
    """Receipts and progress reports of one run."""

    receipts: dict[Key, Receipt] = field(default_factory=dict)
    progress: dict[Key, ProgressReport] = field(default_factory=dict)

    @classmethod
    def read(cls, receipts_root: Path, run: str, tasks: Iterable[str]) -> StepReports:
        """Read the receipts of `run` (`<dag_id>/<run_id>`), which are below a folder for each role.

        Files that are being replaced, or belong to no task, are skipped.
        """
        receipts: dict[Key, Receipt] = {}
        progress: dict[Key, ProgressReport] = {}
        known = set(tasks)
        for path in sorted(receipts_root.glob(f"*/{run}/*.json")):
            key = key_of(path.name, known)
            if key is None:
                continue
            try:
                data = path.read_bytes()
                if path.name.endswith(PROGRESS_SUFFIX):
                    progress[key] = ProgressReport.model_validate_json(data)
                else:
                    receipts[key] = Receipt.model_validate_json(data)
            except (OSError, ValidationError):
                continue
        return cls(receipts, progress)

    def of(self, step: str) -> list[Receipt]:
        """The receipts of one step that have a result, ordered by map index."""
        return [receipt for _, receipt in sorted(self.receipts.items()) if receipt.step == step and receipt.result]


def key_of(name: str, tasks: set[str]) -> Key | None:
    """Task and map index of a file name: `prepare-3.progress.json` is `("prepare", 3)`.

    Task ids may contain hyphens and digits, so a name counts as mapped only if the part before the index is a task.
    """
    stem = name.removesuffix(PROGRESS_SUFFIX) if name.endswith(PROGRESS_SUFFIX) else name.removesuffix(".json")
    if stem in tasks:
        return stem, -1
    task, _, index = stem.rpartition("-")
    return (task, int(index)) if task in tasks and index.isdecimal() else None


@dataclass(frozen=True)
class StepView:
    """A task of a run as displayed, with all its mapped instances together."""

    task_id: str
    state: str
    """waiting, queued, running, retrying, done, cached, skipped, failed or not reached."""
    n_done: int
    n_total: int
    fraction: float
    """Share of the work done, from 0 to 1."""
    detail: str
    """The latest progress report of a running instance."""
    seconds: float | None
    """From the first start to the last end, or to now."""

    @property
    def is_mapped(self) -> bool:
        return self.n_total > 1

    @property
    def headline(self) -> str:
        """`running 2/4`; only the state for a task that is not mapped."""
        return f"{self.state} {self.n_done}/{self.n_total}" if self.is_mapped else self.state


def step_views(
    tasks: Sequence[str], instances: Iterable[TaskInstance], reports: StepReports, now: datetime | None = None
) -> list[StepView]:
    """The views of `tasks`, in their order. `now` is a parameter for tests."""
    by_task: dict[str, list[TaskInstance]] = {task: [] for task in tasks}
    for instance in instances:
        by_task.setdefault(instance.task_id, []).append(instance)
    return [_step_view(task, group, reports, now or datetime.now(UTC)) for task, group in by_task.items()]


def _step_view(task: str, group: list[TaskInstance], reports: StepReports, now: datetime) -> StepView:
    n_done = sum(instance.state in DONE_STATES for instance in group)
    work = sum(_fraction(instance, reports) for instance in group)
    running = [reports.progress[key] for key in _keys(group, "running") if key in reports.progress]
    latest = max(running, key=lambda report: report.updated_at, default=None)
    starts = [instance.start_date for instance in group if instance.start_date]
    ends = [instance.end_date or now for instance in group if instance.start_date]
    return StepView(
        task_id=task,
        state=_state(group, reports),
        n_done=n_done,
        n_total=len(group),
        fraction=work / len(group) if group else 0.0,
        detail=describe(latest) if latest else "",
        seconds=(max(ends) - min(starts)).total_seconds() if starts else None,
    )


def _keys(group: list[TaskInstance], state: str) -> list[Key]:
    return [(instance.task_id, instance.map_index) for instance in group if instance.state == state]


def _fraction(instance: TaskInstance, reports: StepReports) -> float:
    if instance.state in DONE_STATES:
        return 1.0
    report = reports.progress.get((instance.task_id, instance.map_index))
    if instance.state != "running" or report is None or not report.total:
        return 0.0
    return min(report.completed / report.total, 1.0)


def _state(group: list[TaskInstance], reports: StepReports) -> str:
    states = {instance.state for instance in group}
    if states & FAILED_STATES:
        return "failed" if "failed" in states else "not reached"
    if states & {"up_for_retry", "up_for_reschedule", "restarting"}:
        return "retrying"
    if "running" in states or "deferred" in states or (states & DONE_STATES and states - DONE_STATES):
        return "running"
    if "queued" in states or "scheduled" in states:
        return "queued"
    if not states or not states & DONE_STATES:
        return "waiting"
    if states == {"skipped"}:
        return "skipped"
    receipts = [reports.receipts.get(key) for key in _keys(group, "success")]
    cached = [receipt is not None and receipt.status is Status.CACHED for receipt in receipts]
    return "cached" if cached and all(cached) else "done"


def describe(report: ProgressReport) -> str:
    """`training 120/400 steps, loss 0.31`."""
    share = f"{report.completed:g}" + (f"/{report.total:g}" if report.total else "")
    text = f"{report.stage} {share} {report.unit}".strip()
    return f"{text}, {report.detail}" if report.detail else text
