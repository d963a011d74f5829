"""The status of services while they start: a live table on a terminal, otherwise a line for each change."""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

STYLES = {"ready": "green", "starting": "yellow", "waiting": "dim", "running already": "green", "stopped": "dim"}


@dataclass
class Row:
    state: str
    detail: str
    since: float
    took_s: float | None = None


class StatusTable:
    """One row a service. Usage: `with StatusTable(console) as table: table.set("scheduler", "starting")`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._rows: dict[str, Row] = {}
        self._live = Live(console=console, refresh_per_second=4, transient=False) if console.is_terminal else None

    def __enter__(self) -> StatusTable:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.update(self._table(), refresh=True)
            self._live.stop()

    def set(self, name: str, state: str, detail: str = "") -> None:
        """Change a row's state. The time from `starting` to the next state is measured."""
        now, before = time.monotonic(), self._rows.get(name)
        if before and before.state == state:
            return
        took_s = now - before.since if before and before.state == "starting" else None
        self._rows[name] = Row(state, detail, now, took_s)
        if self._live is None and state != "waiting":
            self._console.print(f"{name:<14} {state}{_seconds(took_s)} {detail}".rstrip(), highlight=False)
        self.tick()

    def tick(self) -> None:
        """Update the seconds on display."""
        if self._live:
            self._live.update(self._table())

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for name, row in self._rows.items():
            took_s = time.monotonic() - row.since if row.state == "starting" else row.took_s
            state = Text(f"{row.state}{_seconds(took_s)}", style=STYLES.get(row.state, ""))
            table.add_row(Text(name, style="bold"), state, Text(row.detail, style="dim"))
        return table


def _seconds(took_s: float | None) -> str:
    return "" if took_s is None else f" ({took_s:.0f} s)"
