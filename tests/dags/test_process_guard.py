"""A guarded process ends with its parent, and its exit code and output arrive unchanged. Real processes throughout."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from dags.common.process_guard import CANNOT_START, GuardedProcess

TIMEOUT_S = 30.0
GRACE_S = 1.0

# Each writes its own id and its child's into the file it is given.
FAMILY = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open(sys.argv[1] + "~", "w").write(f"{os.getpid()} {child.pid}")
os.rename(sys.argv[1] + "~", sys.argv[1])
"""
SLEEPS = FAMILY + "time.sleep(600)"
IGNORES_SIGTERM = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SLEEPS
EXITS = FAMILY + "print('done', flush=True)"
SAVES = (
    """
import signal, sys
def save(*_):
    print("saving", flush=True)  # the reader may be gone
    open(sys.argv[1] + ".saved", "w").write("state")
    sys.exit(75)
signal.signal(signal.SIGTERM, save)
"""
    + SLEEPS
)
PARENT = """
import os, sys
from dags.common.process_guard import GuardedProcess
with GuardedProcess([sys.executable, "-c", sys.argv[1], sys.argv[2]], dict(os.environ), float(sys.argv[3])) as process:
    process.wait()
"""


def run(code: str, *arguments: str) -> GuardedProcess:
    return GuardedProcess([sys.executable, "-c", code, *arguments], dict(os.environ), GRACE_S)


def pids_in(file: Path) -> list[int]:
    wait_until(file.exists)
    return [int(pid) for pid in file.read_text().split()]


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_until(condition: object) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


@pytest.mark.parametrize("code", [0, 1, 65, 75, 78])
def test_exit_codes_pass_through(code: int) -> None:
    with run(f"import sys; sys.exit({code})") as process:
        assert list(process.lines()) == []
        assert process.wait() == code


def test_both_streams_are_read_and_invalid_utf_8_is_escaped() -> None:
    code = (
        r"import sys; sys.stdout.buffer.write(b'one\nt\xffwo\n'); sys.stdout.flush(); print('three', file=sys.stderr)"
    )
    with run(code) as process:
        assert list(process.lines()) == ["one", "t\\xffwo", "three"]


def test_large_output_is_complete() -> None:
    with run("for n in range(50_000): print(n)") as process:
        assert list(process.lines()) == [str(n) for n in range(50_000)]


def test_stop_ends_the_whole_process_group(tmp_path: Path) -> None:
    with run(SLEEPS, str(tmp_path / "pids")) as process:
        pids = pids_in(tmp_path / "pids")
        process.stop()
        assert process.wait() == 128 + signal.SIGTERM
    assert all(map(is_gone, pids))


def test_a_process_that_ignores_sigterm_is_killed_after_the_grace_period(tmp_path: Path) -> None:
    with run(IGNORES_SIGTERM, str(tmp_path / "pids")) as process:
        pids = pids_in(tmp_path / "pids")
        process.stop()
        assert process.wait() == 128 + signal.SIGKILL
    assert all(map(is_gone, pids))


def test_an_exception_in_the_block_stops_it(tmp_path: Path) -> None:
    def fail() -> None:
        with run(SLEEPS, str(tmp_path / "pids")):
            pids_in(tmp_path / "pids")
            raise TimeoutError

    with pytest.raises(TimeoutError):
        fail()
    assert all(map(is_gone, pids_in(tmp_path / "pids")))


def test_a_timeout_while_reading_stops_it(tmp_path: Path) -> None:
    """Airflow's execution timeout is an alarm that raises at any point of the task."""

    def give_up(*_: object) -> None:
        raise TimeoutError

    def read() -> None:
        with run(SLEEPS, str(tmp_path / "pids")) as process:
            pids_in(tmp_path / "pids")
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            list(process.lines())

    before = signal.signal(signal.SIGALRM, give_up)
    try:
        with pytest.raises(TimeoutError):
            read()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert all(map(is_gone, pids_in(tmp_path / "pids")))


def test_child_processes_end_with_the_command(tmp_path: Path) -> None:
    with run(EXITS, str(tmp_path / "pids")) as process:
        assert list(process.lines()) == ["done"]  # although a child still holds the stream open
        assert process.wait() == 0
    wait_until(lambda: all(map(is_gone, pids_in(tmp_path / "pids"))))


@pytest.mark.parametrize("code", [SLEEPS, IGNORES_SIGTERM])
def test_kill_9_of_the_parent_ends_it(tmp_path: Path, code: str) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, code, str(tmp_path / "pids"), str(GRACE_S)])
    pids = pids_in(tmp_path / "pids")
    parent.kill()
    parent.wait()
    wait_until(lambda: all(map(is_gone, pids)))


def test_after_kill_9_of_the_parent_it_may_save_its_state(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, SAVES, str(tmp_path / "pids"), "20"])
    pids = pids_in(tmp_path / "pids")
    parent.kill()
    parent.wait()
    wait_until(lambda: all(map(is_gone, pids)))
    assert (tmp_path / "pids.saved").read_text() == "state"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux signals a process when its parent ends")
def test_kill_9_of_the_guard_ends_it(tmp_path: Path) -> None:
    with run(SLEEPS, str(tmp_path / "pids")) as process:
        pid, _ = pids_in(tmp_path / "pids")
        psutil.Process(pid).parent().kill()  # type: ignore[union-attr]
        assert process.wait() == 128 + signal.SIGKILL
        wait_until(lambda: is_gone(pid))
        for orphan in pids_in(tmp_path / "pids"):
            if not is_gone(orphan):
                os.kill(orphan, signal.SIGKILL)


def test_a_command_that_cannot_start_is_reported() -> None:
    with GuardedProcess(["/nowhere/python"], dict(os.environ), GRACE_S) as process:
        assert list(process.lines()) == ["cannot start /nowhere/python: No such file or directory"]
        assert process.wait() == CANNOT_START
