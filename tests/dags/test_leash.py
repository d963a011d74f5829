"""A command on a leash ends with whoever started it, and says so honestly. Real processes throughout."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from dags.common.leash import CANNOT_START, Leash

PATIENCE_S = 30.0
GRACE_S = 1.0

# Each writes its own id and its child's into the file it is given.
FAMILY = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open(sys.argv[1] + "~", "w").write(f"{os.getpid()} {child.pid}")
os.rename(sys.argv[1] + "~", sys.argv[1])
"""
SLEEPS = FAMILY + "time.sleep(600)"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SLEEPS
LEAVES = FAMILY + "print('done', flush=True)"
SAVES = (
    """
import signal, sys
def save(*_):
    print("saving", flush=True)  # nobody may be listening any more
    open(sys.argv[1] + ".saved", "w").write("state")
    sys.exit(75)
signal.signal(signal.SIGTERM, save)
"""
    + SLEEPS
)
STARTER = """
import os, sys
from dags.common.leash import Leash
with Leash([sys.executable, "-c", sys.argv[1], sys.argv[2]], dict(os.environ), float(sys.argv[3])) as leash:
    leash.wait()
"""


def run(code: str, *arguments: str) -> Leash:
    return Leash([sys.executable, "-c", code, *arguments], dict(os.environ), GRACE_S)


def pids_in(file: Path) -> list[int]:
    wait_until(file.exists)
    return [int(pid) for pid in file.read_text().split()]


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_until(condition: object) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


@pytest.mark.parametrize("code", [0, 1, 65, 75, 78])
def test_exit_codes_pass_through(code: int) -> None:
    with run(f"import sys; sys.exit({code})") as leash:
        assert list(leash.lines()) == []
        assert leash.wait() == code


def test_both_streams_are_heard_whatever_their_bytes() -> None:
    speech = (
        r"import sys; sys.stdout.buffer.write(b'one\nt\xffwo\n'); sys.stdout.flush(); print('three', file=sys.stderr)"
    )
    with run(speech) as leash:
        assert list(leash.lines()) == ["one", "t\\xffwo", "three"]


def test_much_output_arrives_whole() -> None:
    with run("for n in range(50_000): print(n)") as leash:
        assert list(leash.lines()) == [str(n) for n in range(50_000)]


def test_release_stops_the_whole_family(tmp_path: Path) -> None:
    with run(SLEEPS, str(tmp_path / "pids")) as leash:
        pids = pids_in(tmp_path / "pids")
        leash.release()
        assert leash.wait() == 128 + signal.SIGTERM
    assert all(map(is_gone, pids))


def test_who_does_not_listen_is_killed_after_the_grace(tmp_path: Path) -> None:
    with run(DEAF, str(tmp_path / "pids")) as leash:
        pids = pids_in(tmp_path / "pids")
        leash.release()
        assert leash.wait() == 128 + signal.SIGKILL
    assert all(map(is_gone, pids))


def test_leaving_the_block_in_an_error_stops_it(tmp_path: Path) -> None:
    def fail() -> None:
        with run(SLEEPS, str(tmp_path / "pids")):
            pids_in(tmp_path / "pids")
            raise TimeoutError

    with pytest.raises(TimeoutError):
        fail()
    assert all(map(is_gone, pids_in(tmp_path / "pids")))


def test_a_timeout_while_it_listens_stops_it(tmp_path: Path) -> None:
    """Airflow's execution timeout is an alarm that raises wherever the task stands."""

    def give_up(*_: object) -> None:
        raise TimeoutError

    def listen() -> None:
        with run(SLEEPS, str(tmp_path / "pids")) as leash:
            pids_in(tmp_path / "pids")
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            list(leash.lines())

    before = signal.signal(signal.SIGALRM, give_up)
    try:
        with pytest.raises(TimeoutError):
            listen()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert all(map(is_gone, pids_in(tmp_path / "pids")))


def test_what_a_command_leaves_behind_ends_with_it(tmp_path: Path) -> None:
    with run(LEAVES, str(tmp_path / "pids")) as leash:
        assert list(leash.lines()) == ["done"]  # although a child still holds the stream
        assert leash.wait() == 0
    wait_until(lambda: all(map(is_gone, pids_in(tmp_path / "pids"))))


@pytest.mark.parametrize("code", [SLEEPS, DEAF])
def test_kill_9_of_the_starter_ends_it(tmp_path: Path, code: str) -> None:
    starter = subprocess.Popen([sys.executable, "-c", STARTER, code, str(tmp_path / "pids"), str(GRACE_S)])
    pids = pids_in(tmp_path / "pids")
    starter.kill()
    starter.wait()
    wait_until(lambda: all(map(is_gone, pids)))


def test_after_kill_9_of_the_starter_it_may_save_its_state(tmp_path: Path) -> None:
    starter = subprocess.Popen([sys.executable, "-c", STARTER, SAVES, str(tmp_path / "pids"), "20"])
    pids = pids_in(tmp_path / "pids")
    starter.kill()
    starter.wait()
    wait_until(lambda: all(map(is_gone, pids)))
    assert (tmp_path / "pids.saved").read_text() == "state"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its parent's end")
def test_kill_9_of_the_leash_itself_ends_it(tmp_path: Path) -> None:
    with run(SLEEPS, str(tmp_path / "pids")) as leash:
        pid, _ = pids_in(tmp_path / "pids")
        psutil.Process(pid).parent().kill()  # type: ignore[union-attr]
        assert leash.wait() == 128 + signal.SIGKILL
        wait_until(lambda: is_gone(pid))
        for orphan in pids_in(tmp_path / "pids"):
            if not is_gone(orphan):
                os.kill(orphan, signal.SIGKILL)


def test_a_command_that_cannot_start_says_why() -> None:
    with Leash(["/nowhere/python"], dict(os.environ), GRACE_S) as leash:
        assert list(leash.lines()) == ["cannot start /nowhere/python: No such file or directory"]
        assert leash.wait() == CANNOT_START
