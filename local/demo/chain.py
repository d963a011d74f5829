"""Runs a chain of DAGs that trigger each other through assets, and follows it to the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dags.common.receipts import run_folder
from local.airflow_api import AirflowApi, DagRun, TaskInstance
from local.demo.display import ChainDisplay
from local.demo.run_status import StepReports, step_views
from local.settings import UserError

POLL_S = 1.0
ASSET_TIMEOUT_S = 20.0
"""If an asset event triggers a run at all, the scheduler creates it within a few seconds."""
LOG_LINES = 12
LOG_MARKERS = ("::group::", "::endgroup::")
"""Airflow's markers of foldable groups in a log."""


class RunFailed(UserError):
    """A run of the chain failed; the message names the task, the cause and the next step."""


@dataclass(frozen=True)
class FinishedRun:
    """A successful run of the chain."""

    run: DagRun
    reports: StepReports
    seconds: float = 0.0
    """How long the run was followed; 0 if it was finished already by an interrupted demo."""


class Chain:
    """A sequence of DAGs, each triggered by an asset of the one before.

    `keep_alive` is called at every poll and restarts dead services. `conf_of` returns the conf of a run that is
    triggered directly because the run before it emitted no asset event.
    """

    def __init__(
        self,
        api: AirflowApi,
        dag_ids: Sequence[str],
        receipts: Path,
        display: ChainDisplay,
        keep_alive: Callable[[], None],
        conf_of: Callable[[str, FinishedRun], dict[str, Any]] = lambda _dag_id, _cause: {},
    ) -> None:
        self._api, self._dag_ids, self._receipts = api, tuple(dag_ids), receipts
        self._display, self._keep_alive, self._conf_of = display, keep_alive, conf_of
        self._tasks: dict[str, list[str]] = {}

    def run(self) -> list[FinishedRun]:
        """Resume an interrupted chain or trigger the first DAG; returns one run for each DAG.

        Raises:
            RunFailed: a run failed.
        """
        finished: list[FinishedRun] = []
        run = self._resume(finished) or self._api.trigger(self._dag_ids[0])
        while True:
            began = time.monotonic()
            run, reports = self._follow(run)
            finished.append(FinishedRun(run, reports, time.monotonic() - began))
            if len(finished) == len(self._dag_ids):
                return finished
            run = self._next(finished[-1], self._dag_ids[len(finished)])

    def _resume(self, finished: list[FinishedRun]) -> DagRun | None:
        """The active run of an interrupted chain; the runs before it are appended to `finished`."""
        for position in reversed(range(len(self._dag_ids))):
            active = [
                run
                for run in self._api.runs(self._dag_ids[position], "queued", "running")
                if run.run_type != "scheduled"
            ]
            before = [self._api.runs(dag_id, "success") for dag_id in self._dag_ids[:position]]
            if active and all(before):
                self._display.print(f"resuming {active[0].dag_id}, run {active[0].dag_run_id}")
                finished += [FinishedRun(runs[0], self._reports(runs[0])) for runs in before]
                return active[0]
        return None

    def _next(self, cause: FinishedRun, dag_id: str) -> DagRun:
        """The run that `cause` triggered through its assets; triggered directly if it emitted no asset event."""
        began = time.monotonic()
        while time.monotonic() - began < ASSET_TIMEOUT_S:
            if caused := self._api.runs_caused_by(cause.run, dag_id):
                return self._api.run(dag_id, caused[-1])
            self._keep_alive()
            time.sleep(POLL_S)
        self._display.print(f"{cause.run.dag_id} published nothing new: triggering {dag_id} directly")
        return self._api.trigger(dag_id, self._conf_of(dag_id, cause))

    def _follow(self, run: DagRun) -> tuple[DagRun, StepReports]:
        while True:
            self._keep_alive()
            run = self._api.run(run.dag_id, run.dag_run_id)
            instances = self._api.task_instances(run)
            reports = self._reports(run)
            self._display.show(run.dag_id, step_views(self._tasks_of(run.dag_id), instances, reports))
            if run.state == "success":
                return run, reports
            if run.state == "failed":
                raise RunFailed(self._explain(run, instances, reports))
            time.sleep(POLL_S)

    def _reports(self, run: DagRun) -> StepReports:
        folder = f"{run.dag_id}/{run_folder(run.dag_run_id)}"
        return StepReports.read(self._receipts, folder, self._tasks_of(run.dag_id))

    def _tasks_of(self, dag_id: str) -> list[str]:
        if dag_id not in self._tasks:
            self._tasks[dag_id] = self._api.task_ids(dag_id)
        return self._tasks[dag_id]

    def _explain(self, run: DagRun, instances: list[TaskInstance], reports: StepReports) -> str:
        failed = [instance for instance in instances if instance.state == "failed"]
        if not failed:
            return f"{run.dag_id} failed without a failed task: {self._api.url(run)}"
        first = min(failed, key=lambda instance: (instance.end_date is None, instance.end_date))
        receipt = reports.receipts.get((first.task_id, first.map_index))
        name = (
            first.task_id if first.map_index < 0 else f"{first.task_id} [{first.rendered_map_index or first.map_index}]"
        )
        lines = [f"{run.dag_id}: task {name} failed on attempt {first.try_number}"]
        if receipt and receipt.error:
            lines.append(f"reason: {receipt.reason} (exit code {receipt.exit_code}): {receipt.error}")
        if log := [line for line in self._api.log_lines(run, first) if not line.startswith(LOG_MARKERS)][-LOG_LINES:]:
            lines += ["the end of its log:", *(f"  {line}" for line in log)]
        lines += [
            f"After `make up`, see {self._api.url(run, first)}",
            "Fix the cause and run `make demo` again: finished work is not repeated.",
        ]
        return "\n".join(lines)
