"""The operator that runs a step as a process on this machine."""

from __future__ import annotations

import json
import logging
import os
import shlex
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator

from dags.common.failures import StepPreempted, failure_from_exit_code
from dags.common.launch import StepLauncher
from dags.common.process_guard import GuardedProcess
from dags.common.receipts import delete_receipt, read_receipt
from dags.common.settings import settings

if TYPE_CHECKING:
    from airflow.sdk import Context

GRACE_S = 20.0
"""Time from SIGTERM to SIGKILL, in which a step saves a checkpoint."""


class LocalStepOperator(StepLauncher, BaseOperator):
    """Run a step with the worker environment's interpreter.

    The process runs in its own session and ends with this task, however the task ends: see `process_guard.py`. Its log
    lines become the task's. Unlike a pod, it has no limits on memory or cores.
    """

    template_fields = StepLauncher.step_fields
    template_fields_renderers: ClassVar = {"step_arguments": "json"}
    ui_color = "#e8f1fa"

    def __init__(
        self,
        *,
        step: str,
        step_arguments: dict[str, Any],
        item: Any = "",
        skip_if_label_is_no: str = "",
        skip_if_argument_is_empty: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.step = step
        self.step_arguments = step_arguments
        self.item = item
        self.skip_if_label_is_no = skip_if_label_is_no
        self.skip_if_argument_is_empty = skip_if_argument_is_empty
        self.process: GuardedProcess | None = None
        self._killed = False

    def execute(self, context: Context) -> Any:
        command = [settings().worker_python, *self.command(context)]
        receipt = self.receipt_uri(context)
        delete_receipt(receipt)
        self.log.info("$ %s", shlex.join(command))
        with GuardedProcess(command, step_environment(), GRACE_S) as process:
            self.process = process
            for line in process.lines():
                self.relay_line(line)
            exit_code = process.wait()
        if self._killed:
            # Whatever the exit code: a task that was asked to stop is not a success.
            raise StepPreempted(f"{self.step}: stopped on request")
        if exit_code != 0:
            raise failure_from_exit_code(exit_code, read_receipt(receipt))
        return self.conclude(context, read_receipt(receipt))

    def on_kill(self) -> None:
        self._killed = True
        if self.process:
            self.process.stop()

    def relay_line(self, line: str) -> None:
        """Write a line of the step's output to the task's log, at the line's own level."""
        level, message = parse_log_line(line)
        self.log.log(level, "%s", message)


def step_environment() -> dict[str, str]:
    """Return this process's environment without Airflow's settings and secrets."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW__", "AIRFLOW_CONN"))
    }
    return inherited | {"AIRSCRIPT_LOG_FORMAT": "json", "PYTHONUNBUFFERED": "1"}


def parse_log_line(line: str) -> tuple[int, str]:
    """Return level and text of a structured log line; other lines (tracebacks, prints) unchanged, as INFO."""
    try:
        record = json.loads(line) if line.startswith("{") else None
    except ValueError:
        record = None
    if not isinstance(record, dict) or "event" not in record:
        return logging.INFO, line
    facts = {name: value for name, value in record.items() if name not in ("event", "level", "timestamp")}
    level = logging.getLevelNamesMapping().get(str(record.get("level")).upper(), logging.INFO)
    return level, " ".join([str(record["event"]), *(f"{name}={value}" for name, value in facts.items())])
