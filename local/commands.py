"""What `up`, `down`, `status` and `demo` do."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from types import FrameType

from rich.console import Console

from local.board import Board
from local.lock import Lock
from local.services import Services
from local.settings import USER, Laptop, LaptopError

INTERRUPTED = 130
LOG_WIDTH = 160
"""Columns of tables in a file, where there is no terminal to fit."""


def up(laptop: Laptop, console: Console) -> int:
    """Start Airflow and MLflow and leave them running."""
    with Lock(laptop.home / "run" / "lock"):
        services = Services(laptop)
        before = services.alive()
        try:
            with Board(console) as board:
                started = services.up(board, started_by="up")
        except KeyboardInterrupt:
            services.down(tuple(name for name in services.names if name not in before))
            raise
    console.print(f"\n{'Everything runs.' if started else 'Everything was running already.'}\n", highlight=False)
    console.print(how_to_log_in(laptop), highlight=False)
    return 0


def down(laptop: Laptop, console: Console) -> int:
    """Stop what `up` or an interrupted demo left running."""
    lock = Lock(laptop.home / "run" / "lock")
    if lock.interrupt_holder():
        console.print("the running demo was asked to stop and has stopped", highlight=False)
    with lock, console.status("stopping"):
        stopped = Services(laptop).down()
    console.print(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running", highlight=False)
    return 0


def status(laptop: Laptop, console: Console) -> int:
    """Say what runs, where, and how to log in."""
    services = Services(laptop)
    alive = services.alive()
    for name in services.names:
        state = f"[green]runs[/] (pid {alive[name].pid})" if name in alive else "[dim]stopped[/]"
        console.print(f"{name:<14} {state}", highlight=False)
    if alive:
        console.print(f"\n{how_to_log_in(laptop)}", highlight=False)
    return 0


def demo(laptop: Laptop, console: Console) -> int:
    """Run the main job: archive to dataset, dataset to model, inbox to transcripts."""
    from local.demo.run import Demo

    with Lock(laptop.home / "run" / "lock"):
        return Demo(laptop, console).run()


VERBS: dict[str, Callable[[Laptop, Console], int]] = {"up": up, "down": down, "status": status, "demo": demo}


def how_to_log_in(laptop: Laptop) -> str:
    """Addresses and the password, for a person."""
    return (
        f"Airflow  {laptop.airflow_url}   user [bold]{USER}[/], password [bold]{laptop.credentials().password}[/]\n"
        f"MLflow   {laptop.mlflow_url}\n"
        f"Logs     {laptop.logs}\n"
        "Both listen on this machine only. `make down` stops them."
    )


def run(verb: str) -> int:
    """Run a verb; faults that a person can put right become a message on standard error."""
    console = Console(soft_wrap=True, width=None if sys.stdout.isatty() else LOG_WIDTH)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        return VERBS[verb](Laptop.from_environment(), console)
    except LaptopError as error:
        Console(stderr=True, soft_wrap=True).print(
            f"[red]{verb}:[/] ", str(error), sep="", highlight=False, markup=True
        )
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
