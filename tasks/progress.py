"""Progress as a parameter: library code calls a hook, and the command line decides how it is displayed.

A terminal shows bars. A log gets one line every `AIRSCRIPT_PROGRESS_SECONDS` (60), and a small JSON object beside the
receipt tells the launcher the progress while the step runs.
"""

from __future__ import annotations

import os
import sys
import time
from datetime import UTC, datetime
from typing import Protocol

import structlog

from tasks import storage
from tasks.contract import ProgressReport, progress_uri

log = structlog.get_logger()

LOG_EVERY_S = 60.0
REPORT_EVERY_S = 2.0


class ProgressHook(Protocol):
    """A step calls this as it advances. It is cheap enough to call for every item."""

    def __call__(self, stage: str, completed: float, total: float | None, unit: str = "", detail: str = "") -> None: ...


def no_progress(stage: str, completed: float, total: float | None, unit: str = "", detail: str = "") -> None:
    """Ignore progress."""


class LogProgress:
    """Log progress at intervals, with the time left, and overwrite the report beside the receipt."""

    def __init__(self, step: str, receipt: str = "") -> None:
        self._step, self._receipt = step, receipt
        self._every_s = float(os.environ.get("AIRSCRIPT_PROGRESS_SECONDS", LOG_EVERY_S))
        self._started: dict[str, tuple[float, float]] = {}
        """Time of each stage's first call, and what was completed by then: a resumed step does not begin at 0."""
        self._logged = self._reported = 0.0

    def __call__(self, stage: str, completed: float, total: float | None, unit: str = "", detail: str = "") -> None:
        now = time.monotonic()
        first = stage not in self._started
        since, resumed_at = self._started.setdefault(stage, (now, completed))
        last = total is not None and completed >= total
        if last or first or now - self._logged >= self._every_s:
            self._logged = now
            log.info(
                "progress",
                **self._describe(stage, completed, total, unit, detail, now - since, completed - resumed_at),
            )
        if self._receipt and (last or now - self._reported >= REPORT_EVERY_S):
            self._reported = now
            report = ProgressReport(
                step=self._step,
                stage=stage,
                completed=completed,
                total=total,
                unit=unit,
                detail=detail,
                updated_at=datetime.now(UTC),
            )
            storage.write(progress_uri(self._receipt), report.model_dump_json().encode())

    @staticmethod
    def _describe(
        stage: str, completed: float, total: float | None, unit: str, detail: str, seconds: float, done: float
    ) -> dict[str, str]:
        facts = {"stage": stage, "done": f"{completed:g}{f'/{total:g}' if total else ''} {unit}".strip()}
        if total and completed < total and done > 0 and seconds > 1:
            facts["left"] = f"{seconds * (total - completed) / done:.0f}s"
        if detail:
            facts["detail"] = detail
        return facts


class BarProgress:
    """Show one progress bar per stage on a terminal (rich)."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[detail]}"),
        )
        self._stages: dict[str, object] = {}

    def __call__(self, stage: str, completed: float, total: float | None, unit: str = "", detail: str = "") -> None:
        if not self._stages:
            self._bars.start()
        if stage not in self._stages:
            self._stages[stage] = self._bars.add_task(stage, total=total, unit=unit, detail=detail)
        self._bars.update(self._stages[stage], completed=completed, total=total, unit=unit, detail=detail)  # type: ignore[arg-type]

    def close(self) -> None:
        self._bars.stop()


def progress_for(step: str, receipt: str) -> LogProgress | BarProgress:
    """Return the display that suits standard output: a bar on a terminal, log lines elsewhere."""
    return LogProgress(step, receipt) if receipt or not sys.stdout.isatty() else BarProgress()
