"""Records, sessions and signals, with real processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from local import processes
from local.processes import Record

SLEEP = (sys.executable, "-S", "-c", "import time; time.sleep(60)")
IGNORES_SIGTERM = (
    sys.executable,
    "-S",
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)",
)
# A child in the leader's session, and one in its own session, like a step.
FAMILY = (
    sys.executable,
    "-S",
    "-c",
    "import subprocess, sys, time\n"
    "sleep = [sys.executable, '-S', '-c', 'import time; time.sleep(60)']\n"
    "subprocess.Popen(sleep); subprocess.Popen(sleep, start_new_session=True)\n"
    "print('ready', flush=True); time.sleep(60)",
)


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[Record]]:
    """Records of processes that are killed after the test, with their descendants."""
    records: list[Record] = []
    yield records
    processes.stop([member for record in records for member in processes.members(record)], grace_s=0.1)


def start(tmp_path: Path, started: list[Record], command: tuple[str, ...] = SLEEP, name: str = "sleeper") -> Record:
    record = processes.start(
        name,
        command,
        environment=os.environ,
        folder=tmp_path / "run",
        log=tmp_path / f"{name}.log",
        started_by="test",
        cwd=tmp_path,
    )
    started.append(record)
    return record


def wait_for(condition, limit_s: float = 10) -> None:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < limit_s, "timeout"
        time.sleep(0.02)


def says_ready(tmp_path: Path, name: str = "sleeper") -> bool:
    return "ready" in (tmp_path / f"{name}.log").read_text()


def test_a_started_process_is_found_again_in_its_own_session(tmp_path: Path, started: list[Record]) -> None:
    record = start(tmp_path, started)
    assert processes.records(tmp_path / "run") == {"sleeper": record}
    assert record.is_alive
    assert os.getsid(record.pid) == record.pid


def test_a_record_of_a_dead_process_is_stale(tmp_path: Path, started: list[Record]) -> None:
    record = start(tmp_path, started)
    os.kill(record.pid, signal.SIGKILL)
    wait_for(lambda: not record.is_alive)  # a zombie counts as dead
    assert processes.members(record) == []


def test_a_reused_pid_is_not_ours(tmp_path: Path, started: list[Record]) -> None:
    record = start(tmp_path, started)
    stale = replace(record, born=record.born - 3600)
    assert not stale.is_alive
    # The session has the same id; a record from the future must not match it either.
    younger = replace(record, born=record.born + 3600)
    assert not younger.is_alive
    assert processes.members(younger) == []


def test_stopping_ends_all_descendants(tmp_path: Path, started: list[Record]) -> None:
    record = start(tmp_path, started, FAMILY)
    wait_for(lambda: says_ready(tmp_path))
    family = processes.members(record)
    assert len(family) == 3
    assert processes.stop(family, grace_s=5) == []
    assert processes.members(record) == []


def test_children_of_a_killed_leader_are_found_by_their_session(tmp_path: Path, started: list[Record]) -> None:
    record = start(tmp_path, started, FAMILY)
    wait_for(lambda: says_ready(tmp_path))
    escaped = [member for member in processes.members(record) if os.getsid(member.pid) != record.pid]
    os.kill(record.pid, signal.SIGKILL)
    wait_for(lambda: not record.is_alive)
    (left,) = processes.members(record)
    assert os.getsid(left.pid) == record.pid
    processes.stop([left, *escaped], grace_s=5)


def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path, started: list[Record]) -> None:
    record = start(tmp_path, started, IGNORES_SIGTERM)
    wait_for(lambda: says_ready(tmp_path))
    assert [process.pid for process in processes.stop(processes.members(record), grace_s=0.3)] == [record.pid]
    assert not record.is_alive


def test_steps_are_found_by_the_uri_of_their_receipt(tmp_path: Path) -> None:
    def step(receipts: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([*SLEEP, f"--receipt={receipts}/dag/run/task.json"])

    ours, theirs = step("file:///ours/runs"), step("file:///ours/runs2")
    try:
        wait_for(lambda: all(psutil.Process(p.pid).cmdline()[1:2] == ["-S"] for p in (ours, theirs)))
        assert [process.pid for process in processes.step_processes("file:///ours/runs")] == [ours.pid]
    finally:
        for process in (ours, theirs):
            process.kill()
            process.wait()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}'])
def test_a_malformed_record_is_ignored(tmp_path: Path, text: str) -> None:
    (tmp_path / "malformed.json").write_text(text)
    assert Record.read(tmp_path / "malformed.json") is None
    assert processes.records(tmp_path) == {}
