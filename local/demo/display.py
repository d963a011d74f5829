"""Displays a chain of DAG runs: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from local.demo.run_status import StepView

STYLES = {
    "waiting": "dim",
    "queued": "dim",
    "running": "yellow",
    "retrying": "magenta",
    "done": "green",
    "cached": "cyan",
    "skipped": "dim",
    "failed": "red bold",
    "not reached": "dim",
}
PLAIN_EVERY_S = 15.0
BAR_WIDTH = 18


class ChainDisplay:
    """Shows all runs of the chain, finished ones included. A context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._runs: dict[str, list[StepView]] = {}
        self._printed: dict[tuple[str, str], tuple[str, float]] = {}
        self._live = Live(console=console, refresh_per_second=4) if console.is_terminal else None

    def __enter__(self) -> ChainDisplay:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def show(self, dag_id: str, views: list[StepView]) -> None:
        """Update the state of a run."""
        self._runs[dag_id] = views
        if self._live:
            self._live.update(Group(*(_run_table(dag, steps) for dag, steps in self._runs.items())))
        else:
            self._print_changes(dag_id, views)

    def print(self, line: str) -> None:
        """Print a line above the table."""
        self._console.print(line, highlight=False)

    def _print_changes(self, dag_id: str, views: list[StepView]) -> None:
        now = time.monotonic()
        for step in views:
            if step.state in ("waiting", "queued"):
                continue
            headline, at = self._printed.get((dag_id, step.task_id), ("", 0.0))
            overdue = step.state == "running" and step.detail and now - at >= PLAIN_EVERY_S
            if step.headline == headline and not overdue:
                continue
            self._printed[(dag_id, step.task_id)] = step.headline, now
            line = f"{dag_id:<24} {step.task_id:<22} {step.headline:<13} {seconds(step.seconds):>6}  {step.detail}"
            self._console.print(line.rstrip(), highlight=False, markup=False)


def _run_table(dag_id: str, views: list[StepView]) -> Table:
    table = Table(box=None, padding=(0, 1), show_header=True, header_style="bold", expand=True)
    table.add_column(dag_id, min_width=26, no_wrap=True)
    table.add_column(min_width=14, no_wrap=True)
    table.add_column(min_width=BAR_WIDTH, no_wrap=True)
    table.add_column(justify="right", min_width=6, no_wrap=True)
    table.add_column(overflow="ellipsis", no_wrap=True, ratio=1)
    for step in views:
        is_active = step.state in ("running", "retrying")
        bar = ProgressBar(total=1.0, completed=step.fraction, width=BAR_WIDTH) if is_active else Text("")
        table.add_row(
            Text(f"  {step.task_id}"),
            Text(step.headline, style=STYLES.get(step.state, "")),
            bar,
            seconds(step.seconds),
            Text(step.detail, style="dim"),
        )
    return table


def seconds(value: float | None) -> str:
    """`7 s`, `2:05`."""
    if value is None:
        return ""
    return f"{value:.0f} s" if value < 99.5 else f"{int(value) // 60}:{int(value) % 60:02d}"
