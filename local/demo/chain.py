"""Follow DAG runs that cause each other through assets, from the first to the last."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dags.common.receipts import run_folder
from local.airflow_api import AirflowApi, DagRun, TaskInstance
from local.demo.display import ChainDisplay
from local.demo.progress import Reports, view
from local.settings import LaptopError

POLL_S = 1.0
CAUSED_WITHIN_S = 20.0
"""The scheduler turns an asset's event into a run within a few seconds, when anything listens to it."""
LOG_LINES = 12
LOG_MARKS = ("::group::", "::endgroup::")
"""Airflow folds a log's parts between these."""


class RunFailed(LaptopError):
    """A run of the chain failed; the message says which task, why, and what to do."""


@dataclass(frozen=True)
class FinishedRun:
    """A run of the chain that ended well."""

    run: DagRun
    reports: Reports
    seconds: float = 0.0
    """For which it was waited here; none for a run that an interrupted demo had finished."""


class Chain:
    """DAGs of which each causes the next.

    `tend` is called at every look, to keep the services alive. `conf_of` gives the parameters of a run that is started
    here because the run before it changed no asset.
    """

    def __init__(
        self,
        api: AirflowApi,
        dag_ids: Sequence[str],
        receipts: Path,
        display: ChainDisplay,
        tend: Callable[[], None],
        conf_of: Callable[[str, FinishedRun], dict[str, Any]] = lambda _dag_id, _cause: {},
    ) -> None:
        self._api, self._dag_ids, self._receipts = api, tuple(dag_ids), receipts
        self._display, self._tend, self._conf_of = display, tend, conf_of
        self._tasks: dict[str, list[str]] = {}

    def run(self) -> list[FinishedRun]:
        """Go on where an interrupted chain stopped, or trigger the first DAG; return one run for each DAG.

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
        """The run that an interrupted chain left under way, with the runs before it in `finished`."""
        for position in reversed(range(len(self._dag_ids))):
            under_way = [
                run
                for run in self._api.runs(self._dag_ids[position], "queued", "running")
                if run.run_type != "scheduled"
            ]
            before = [self._api.runs(dag_id, "success") for dag_id in self._dag_ids[:position]]
            if under_way and all(before):
                self._display.say(f"going on with {under_way[0].dag_id}, run {under_way[0].dag_run_id}")
                finished += [FinishedRun(runs[0], self._reports(runs[0])) for runs in before]
                return under_way[0]
        return None

    def _next(self, cause: FinishedRun, dag_id: str) -> DagRun:
        """The run that `cause` has started through its assets; started here when its assets did not change."""
        began = time.monotonic()
        while time.monotonic() - began < CAUSED_WITHIN_S:
            if caused := self._api.runs_caused_by(cause.run, dag_id):
                return self._api.run(dag_id, caused[-1])
            self._tend()
            time.sleep(POLL_S)
        self._display.say(f"{cause.run.dag_id} published nothing new, so {dag_id} is started directly")
        return self._api.trigger(dag_id, self._conf_of(dag_id, cause))

    def _follow(self, run: DagRun) -> tuple[DagRun, Reports]:
        while True:
            self._tend()
            run = self._api.run(run.dag_id, run.dag_run_id)
            instances = self._api.task_instances(run)
            reports = self._reports(run)
            self._display.show(run.dag_id, view(self._tasks_of(run.dag_id), instances, reports))
            if run.state == "success":
                return run, reports
            if run.state == "failed":
                raise RunFailed(self._explain(run, instances, reports))
            time.sleep(POLL_S)

    def _reports(self, run: DagRun) -> Reports:
        return Reports.read(self._receipts / run.dag_id / run_folder(run.dag_run_id), self._tasks_of(run.dag_id))

    def _tasks_of(self, dag_id: str) -> list[str]:
        if dag_id not in self._tasks:
            self._tasks[dag_id] = self._api.task_ids(dag_id)
        return self._tasks[dag_id]

    def _explain(self, run: DagRun, instances: list[TaskInstance], reports: Reports) -> str:
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
        if log := [line for line in self._api.log_lines(run, first) if not line.startswith(LOG_MARKS)][-LOG_LINES:]:
            lines += ["the end of its log:", *(f"  {line}" for line in log)]
        lines += [
            f"look at it after `make up`: {self._api.url(run, first)}",
            "Put the cause right and start `make demo` again: what is done is not done twice.",
        ]
        return "\n".join(lines)
