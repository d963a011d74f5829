"""A command that never outlives the process that started it.

The starter holds one end of a pipe. Between it and the command stands this file, run as a program of its own: when
the pipe ends, because the starter closed it or died of `kill -9`, the command's whole process group gets SIGTERM and,
after the grace, SIGKILL. It needs no `prctl`, so it holds on macOS too; on Linux the kernel also ends the command
when this program itself is killed.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

CANNOT_START = 78
_CHUNK_BYTES = 1 << 16


class Leash:
    """A running command: its lines, its end, and `release` to stop it. Leaving the block stops it too."""

    def __init__(self, command: Sequence[str], environment: dict[str, str], grace_s: float) -> None:
        # -I -S: the standard library is all it needs, so it starts in 20 ms. A session of its own: signals to
        # Airflow's process group do not reach the command, which is stopped through the pipe only.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, str(grace_s), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            text=True,
            encoding="utf-8",
            errors="backslashreplace",
            start_new_session=True,
        )

    def lines(self) -> Iterator[str]:
        """What the command says on either stream, until it has ended."""
        assert self._process.stdout
        for line in self._process.stdout:
            yield line.rstrip()

    def release(self) -> None:
        """Let the command stop: SIGTERM, the grace, SIGKILL. Returns at once; a signal handler may call it."""
        assert self._process.stdin
        self._process.stdin.close()

    def wait(self) -> int:
        """The command's exit code; 128 + n when it died of signal n."""
        return _shell_code(self._process.wait())

    def __enter__(self) -> Leash:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
        for _line in self.lines():  # a command that saves its state may still have something to say
            pass
        self.wait()


def hold(command: Sequence[str], grace_s: float) -> int:
    """Run the command until it ends or standard input does. Its exit code, 128 + n for signal n."""
    # Signals become bytes in this pipe, so that one select() waits for everything.
    wake, wake_writer = os.pipe()
    os.set_blocking(wake_writer, False)
    signal.set_wakeup_fd(wake_writer)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    try:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,
            preexec_fn=_die_with_parent,
        )
    except OSError as error:
        print(f"cannot start {command[0]}: {error.strerror}", flush=True)
        return CANNOT_START
    assert child.stdout
    speech, pipe = child.stdout.fileno(), sys.stdin.fileno()
    watched, kill_at = {wake, speech, pipe}, None
    while child.poll() is None:
        left = None if kill_at is None else max(0.0, kill_at - time.monotonic())
        ready, _, _ = select.select(watched, [], [], left)
        if speech in ready and not _pass_on(speech):
            watched.discard(speech)
        signals = set(os.read(wake, 64)) if wake in ready else set()
        if kill_at is None and (pipe in ready or signals & {signal.SIGTERM, signal.SIGINT}):
            watched.discard(pipe)
            kill_at = time.monotonic() + grace_s
            _signal_group(child.pid, signal.SIGTERM)
        elif kill_at is not None and time.monotonic() >= kill_at:
            _signal_group(child.pid, signal.SIGKILL)
    _signal_group(child.pid, signal.SIGKILL)  # whatever it left behind
    while select.select([speech], [], [], 0.5)[0] and _pass_on(speech):
        pass
    return _shell_code(child.returncode)


def _pass_on(speech: int) -> bool:
    """Pass on what the command said. False at its end.

    It goes through here so that a command whose starter is gone can save its state in peace: writing to a pipe that
    nobody reads would be an error to it.
    """
    said = rest = os.read(speech, _CHUNK_BYTES)
    with contextlib.suppress(BrokenPipeError):
        while rest:
            rest = rest[os.write(sys.stdout.fileno(), rest) :]
    return bool(said)


def _signal_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def _shell_code(code: int) -> int:
    return 128 - code if code < 0 else code


def _die_with_parent() -> None:
    """Linux: SIGKILL this process when its parent ends (PR_SET_PDEATHSIG). Safe here: this program has no threads."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(hold(sys.argv[2:], float(sys.argv[1])))
