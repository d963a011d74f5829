"""Long-running processes with a record each, so that a later command finds them, and never mistakes another for one.

A process is known by its pid and the moment it was born; its descendants by the session that it leads. Steps live in
sessions of their own; they are known by the receipts folder in their argument vector.
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

# A birth is told from the machine's start, which moves a little whenever the clock is set.
BIRTH_TOLERANCE_S = 2.0


@dataclass(frozen=True)
class Record:
    """A service that was started: written when it starts, removed when it was stopped."""

    name: str
    pid: int
    born: float
    command: tuple[str, ...]
    started_by: str

    @classmethod
    def read(cls, path: Path) -> Record | None:
        """The record in a file, or None when there is none or it is torn."""
        try:
            fields = json.loads(path.read_text())
            return cls(**{**fields, "command": tuple(fields["command"])})
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    @property
    def is_alive(self) -> bool:
        """Whether this very process still runs; a newer one with the same pid does not count."""
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
    """Start a process in a session of its own, with its record in `folder` and its output in `log`."""
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
    """Put a record in its place, whole."""
    partial = folder / f".{record.name}.{os.getpid()}"
    partial.write_text(json.dumps(asdict(record)))
    partial.replace(folder / f"{record.name}.json")


def records(folder: Path) -> dict[str, Record]:
    """Every recorded service, alive or not."""
    found = (Record.read(path) for path in sorted(folder.glob("*.json")))
    return {record.name: record for record in found if record is not None}


def members(record: Record) -> list[psutil.Process]:
    """The service and all that lives in its session or descends from it, also when the leader itself is gone."""
    family: dict[int, psutil.Process] = {}
    if record.is_alive:
        leader = psutil.Process(record.pid)
        family[leader.pid] = leader
        family |= {child.pid: child for child in leader.children(recursive=True)}
    for process in psutil.process_iter():
        try:
            # A session keeps its number from being given to a new process as long as it has a member.
            in_session = os.getsid(process.pid) == record.pid
            if in_session and process.create_time() >= record.born - BIRTH_TOLERANCE_S:
                family[process.pid] = process
                family |= {child.pid: child for child in process.children(recursive=True)}
        except (psutil.Error, OSError):
            continue
    return [process for process in family.values() if _is_live(process)]


def steps_of(receipts: str) -> list[psutil.Process]:
    """Steps (`python -m tasks …`) that write their receipt under the given URI, and what they started."""
    mark = f"--receipt={receipts.rstrip('/')}/"
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        try:
            if any(word.startswith(mark) for word in process.cmdline()):
                found |= {member.pid: member for member in (process, *process.children(recursive=True))}
        except (psutil.Error, OSError):
            continue
    return [process for process in found.values() if _is_live(process)]


def stop(processes: list[psutil.Process], grace_s: float) -> list[psutil.Process]:
    """SIGTERM to each, SIGKILL after `grace_s` to those that are left, which are returned."""
    for process in processes:
        _signal(process, kill=False)
    _, stubborn = psutil.wait_procs(processes, timeout=grace_s)
    stubborn = [process for process in stubborn if _is_live(process)]
    for process in stubborn:
        _signal(process, kill=True)
    psutil.wait_procs(stubborn, timeout=5)
    return stubborn


def _signal(process: psutil.Process, *, kill: bool) -> None:
    # psutil compares the birth time again before it signals, so a reused pid is safe here too.
    with contextlib.suppress(psutil.Error):
        process.kill() if kill else process.terminate()


def _is_same(pid: int, born: float) -> bool:
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - born) <= BIRTH_TOLERANCE_S and _is_live(process)
    except psutil.Error:
        return False


def _is_live(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
