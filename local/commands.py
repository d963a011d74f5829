"""The commands `up`, `down`, `status`, `demo`, `captions` and `screenshots`."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterable
from types import FrameType

from rich.console import Console

from local.lock import Lock
from local.services import SERVICES, Services
from local.settings import USER, Installation, UserError
from local.status_table import StatusTable

INTERRUPTED = 130
LOG_WIDTH = 160
"""Table width when the output is not a terminal."""


def up(installation: Installation, console: Console) -> int:
    """Start Airflow and MLflow, and `--with s3 kafka`, and leave them running."""
    with Lock(installation.home / "run" / "lock"):
        services = Services(installation, names=(*installation.extras, *SERVICES))
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
    for name in (*installation.extras, *services.names):
        state = f"[green]running[/] (pid {alive[name].pid})" if name in alive else "[dim]stopped[/]"
        console.print(f"{name:<14} {state}", highlight=False)
    if alive:
        console.print(f"\n{login_help(installation)}", highlight=False)
    return 0


def demo(installation: Installation, console: Console) -> int:
    """Run the main job: archive to dataset, dataset to model, inbox to transcripts."""
    from local.demo.run import Demo

    if not installation.settings.storage.startswith("file://"):
        raise UserError("the demo keeps its channel in a folder, and S3 is the storage now. Run `make down` first.")
    with Lock(installation.home / "run" / "lock"):
        return Demo(installation, console).run()


def captions(installation: Installation, console: Console) -> int:
    """Broadcast a demo programme in real time and show its live captions as they settle."""
    from local.demo.live_captions import LiveCaptions

    return LiveCaptions(installation, console).run()


def screenshots(installation: Installation, console: Console) -> int:
    """Take the pictures of the documents from the running services."""
    from local.screenshots import take

    return take(installation, console)


COMMANDS: dict[str, Callable[[Installation, Console], int]] = {
    "up": up,
    "down": down,
    "status": status,
    "demo": demo,
    "captions": captions,
    "screenshots": screenshots,
}


def login_help(installation: Installation) -> str:
    """Addresses, user and password for the user."""
    password = installation.credentials().password
    lines = [
        f"Airflow  {installation.airflow_url}   user [bold]{USER}[/], password [bold]{password}[/]",
        f"MLflow   {installation.mlflow_url}   the same",
    ]
    if "s3" in installation.extras:
        lines.append(f"S3       {installation.s3_url}   {installation.settings.storage}, the same as keys")
    if "kafka" in installation.extras:
        lines.append(f"Kafka    {installation.kafka_address}   `make captions` broadcasts a programme")
    lines += [f"Logs     {installation.logs}", "All listen on this machine only. `make down` stops them."]
    return "\n".join(lines)


def run(name: str, extras: Iterable[str] = ()) -> int:
    """Run a command; a `UserError` becomes a message on standard error. `extras`: services that `up` adds."""
    console = Console(soft_wrap=True, width=None if sys.stdout.isatty() else LOG_WIDTH)
    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, _interrupt)
    try:
        return COMMANDS[name](Installation.from_environment(extras=extras), console)
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
