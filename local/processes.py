"""Background processes with a record on disk, so that a later command finds them again.

A process is identified by its pid and creation time, so a reused pid is recognised. Its descendants are identified by
the session that it leads. Steps have their own sessions and are identified by the receipts folder in their argument
vector.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

# psutil derives creation times from the boot time, which shifts a little whenever the clock is set.
CREATION_TOLERANCE_S = 2.0


@dataclass(frozen=True)
class Record:
    """The record of a started service: written when it starts, deleted when it is stopped."""

    name: str
    pid: int
    born: float
    """Creation time in seconds since the epoch."""
    command: tuple[str, ...]
    started_by: str

    @classmethod
    def read(cls, path: Path) -> Record | None:
        """The record in a file, or None if it is missing or malformed."""
        try:
            fields = json.loads(path.read_text())
            return cls(**{**fields, "command": tuple(fields["command"])})
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    @property
    def is_alive(self) -> bool:
        """Whether this process still runs; a newer one with the same pid does not count."""
        return _is_same(self.pid, self.born)


def start(
    name: str,
    command: Iterable[str],
    *,
    environment: Mapping[str, str],
    folder: Path,
    log: Path,
    started_by: str,
    cwd: Path,
) -> Record:
    """Start a process in a new session, with its record in `folder` and its output in `log`."""
    command = tuple(command)
    folder.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists():
        log.replace(log.with_suffix(".previous.log"))
    with log.open("ab") as sink:
        process = subprocess.Popen(
            command,
            env=dict(environment),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        born = psutil.Process(process.pid).create_time()
    except psutil.NoSuchProcess:
        born = time.time()
    record = Record(name, process.pid, born, command, started_by)
    write(record, folder)
    return record


def write(record: Record, folder: Path) -> None:
    """Write a record atomically."""
    partial = folder / f".{record.name}.{os.getpid()}"
    partial.write_text(json.dumps(asdict(record)))
    partial.replace(folder / f"{record.name}.json")


def records(folder: Path) -> dict[str, Record]:
    """All recorded services, alive or not, by name."""
    all_records = (Record.read(path) for path in sorted(folder.glob("*.json")))
    return {record.name: record for record in all_records if record is not None}


def members(record: Record) -> list[psutil.Process]:
    """The service's process, its session and all descendants, even if the session leader has died."""
    by_pid: dict[int, psutil.Process] = {}
    if record.is_alive:
        leader = psutil.Process(record.pid)
        by_pid[leader.pid] = leader
        by_pid |= {child.pid: child for child in leader.children(recursive=True)}
    for process in psutil.process_iter():
        try:
            # The kernel does not reuse a session's id as a pid while the session has members.
            in_session = os.getsid(process.pid) == record.pid
            if in_session and process.create_time() >= record.born - CREATION_TOLERANCE_S:
                by_pid[process.pid] = process
                by_pid |= {child.pid: child for child in process.children(recursive=True)}
        except (psutil.Error, OSError):
            continue
    return [process for process in by_pid.values() if _is_live(process)]


def step_processes(receipts: str) -> list[psutil.Process]:
    """Steps (`python -m tasks …`) that write their receipt below the URI `receipts`, and their descendants."""
    flag = f"--receipt={receipts.rstrip('/')}/"
    by_pid: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        try:
            if any(word.startswith(flag) for word in process.cmdline()):
                by_pid |= {member.pid: member for member in (process, *process.children(recursive=True))}
        except (psutil.Error, OSError):
            continue
    return [process for process in by_pid.values() if _is_live(process)]


def stop(processes: list[psutil.Process], grace_s: float) -> list[psutil.Process]:
    """Send SIGTERM, and after `grace_s` SIGKILL to the processes that still run, which are returned."""
    for process in processes:
        _signal(process, kill=False)
    _, remaining = psutil.wait_procs(processes, timeout=grace_s)
    remaining = [process for process in remaining if _is_live(process)]
    for process in remaining:
        _signal(process, kill=True)
    psutil.wait_procs(remaining, timeout=5)
    return remaining


def _signal(process: psutil.Process, *, kill: bool) -> None:
    # psutil checks the creation time before it signals, so a reused pid is safe here too.
    with contextlib.suppress(psutil.Error):
        process.kill() if kill else process.terminate()


def _is_same(pid: int, born: float) -> bool:
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - born) <= CREATION_TOLERANCE_S and _is_live(process)
    except psutil.Error:
        return False


def _is_live(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
