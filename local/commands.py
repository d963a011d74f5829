"""The commands `up`, `down`, `status`, `demo` and `screenshots`."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from types import FrameType

from rich.console import Console

from local.lock import Lock
from local.services import Services
from local.settings import USER, Installation, UserError
from local.status_table import StatusTable

INTERRUPTED = 130
LOG_WIDTH = 160
"""Table width when the output is not a terminal."""


def up(installation: Installation, console: Console) -> int:
    """Start Airflow and MLflow and leave them running."""
    with Lock(installation.home / "run" / "lock"):
        services = Services(installation)
        before = services.alive()
        try:
            with StatusTable(console) as table:
                started = services.up(table, started_by="up")
        except KeyboardInterrupt:
            services.down(tuple(name for name in services.names if name not in before))
            raise
    console.print(f"\n{'All services run.' if started else 'All services were running already.'}\n", highlight=False)
    console.print(login_help(installation), highlight=False)
    return 0


def down(installation: Installation, console: Console) -> int:
    """Stop what `up` or an interrupted demo left running."""
    lock = Lock(installation.home / "run" / "lock")
    if lock.interrupt_holder():
        console.print("stopped the running command", highlight=False)
    with lock, console.status("stopping"):
        stopped = Services(installation).down()
    console.print(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running", highlight=False)
    return 0


def status(installation: Installation, console: Console) -> int:
    """Show which services run, their addresses, and how to log in."""
    services = Services(installation)
    alive = services.alive()
    for name in services.names:
        state = f"[green]running[/] (pid {alive[name].pid})" if name in alive else "[dim]stopped[/]"
        console.print(f"{name:<14} {state}", highlight=False)
    if alive:
        console.print(f"\n{login_help(installation)}", highlight=False)
    return 0


def demo(installation: Installation, console: Console) -> int:
    """Run the main job: archive to dataset, dataset to model, inbox to transcripts."""
    from local.demo.run import Demo

    with Lock(installation.home / "run" / "lock"):
        return Demo(installation, console).run()


def screenshots(installation: Installation, console: Console) -> int:
    """Take the pictures of the documents from the running services."""
    from local.screenshots import take

    return take(installation, console)


COMMANDS: dict[str, Callable[[Installation, Console], int]] = {
    "up": up,
    "down": down,
    "status": status,
    "demo": demo,
    "screenshots": screenshots,
}


def login_help(installation: Installation) -> str:
    """Addresses, user and password for the user."""
    password = installation.credentials().password
    return (
        f"Airflow  {installation.airflow_url}   user [bold]{USER}[/], password [bold]{password}[/]\n"
        f"MLflow   {installation.mlflow_url}   the same\n"
        f"Logs     {installation.logs}\n"
        "Both listen on this machine only. `make down` stops them."
    )


def run(name: str) -> int:
    """Run a command; a `UserError` becomes a message on standard error."""
    console = Console(soft_wrap=True, width=None if sys.stdout.isatty() else LOG_WIDTH)
    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, _interrupt)
    try:
        return COMMANDS[name](Installation.from_environment(), console)
    except UserError as error:
        Console(stderr=True, soft_wrap=True).print(
            f"[red]{name}:[/] ", str(error), sep="", highlight=False, markup=True
        )
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


def _interrupt(_signum: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
