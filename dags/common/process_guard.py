"""A child process that never outlives its parent, even if the parent dies of `kill -9`.

The command is started by a guard: this file, run as a program, which the parent holds by a pipe. When the pipe closes,
because the parent closed it or died, the guard sends the command's process group SIGTERM and, after the grace period,
SIGKILL. This needs no `prctl`, so it works on macOS too; on Linux the kernel also kills the command if the guard itself
is killed.
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


class GuardedProcess:
    """A running command. As a context manager it stops the command on leaving the block."""

    def __init__(self, command: Sequence[str], environment: dict[str, str], grace_s: float) -> None:
        # -I -S: the guard needs only the standard library and starts in 20 ms. New session: signals to Airflow's
        # process group do not reach the command, which is stopped only through the pipe.
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
        """Yield the lines of the command's stdout and stderr until the command ends."""
        assert self._process.stdout
        for line in self._process.stdout:
            yield line.rstrip()

    def stop(self) -> None:
        """Stop the command: SIGTERM and, after the grace period, SIGKILL. Does not wait; safe in a signal handler."""
        assert self._process.stdin
        self._process.stdin.close()

    def wait(self) -> int:
        """Wait for the command's exit code; 128 + n if signal n killed it."""
        return _shell_code(self._process.wait())

    def __enter__(self) -> GuardedProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        for _line in self.lines():  # drain: a command that saves its state may still write
            pass
        self.wait()


def run_guarded(command: Sequence[str], grace_s: float) -> int:
    """Run the command until it ends or standard input is closed. Returns its exit code, 128 + n for signal n."""
    # Self-pipe: signals arrive as bytes in a pipe, so that one select() waits for everything.
    wake, wake_writer = os.pipe()
    os.set_blocking(wake_writer, False)
    signal.set_wakeup_fd(wake_writer)
    for signum in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: None)
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
    output, parent = child.stdout.fileno(), sys.stdin.fileno()
    watched, kill_at = {wake, output, parent}, None
    while child.poll() is None:
        timeout_s = None if kill_at is None else max(0.0, kill_at - time.monotonic())
        ready, _, _ = select.select(watched, [], [], timeout_s)
        if output in ready and not _forward(output):
            watched.discard(output)
        signals = set(os.read(wake, 64)) if wake in ready else set()
        if kill_at is None and (parent in ready or signals & {signal.SIGTERM, signal.SIGINT}):
            watched.discard(parent)
            kill_at = time.monotonic() + grace_s
            _signal_group(child.pid, signal.SIGTERM)
        elif kill_at is not None and time.monotonic() >= kill_at:
            _signal_group(child.pid, signal.SIGKILL)
    _signal_group(child.pid, signal.SIGKILL)  # processes that the command left behind
    while select.select([output], [], [], 0.5)[0] and _forward(output):
        pass
    return _shell_code(child.returncode)


def _forward(output: int) -> bool:
    """Forward a chunk of the command's output. Return False at the end of the output.

    The output passes through the guard, so that a command whose parent has died can still save its state: writing to a
    pipe without a reader would raise an error in the command.
    """
    chunk = rest = os.read(output, _CHUNK_BYTES)
    with contextlib.suppress(BrokenPipeError):
        while rest:
            rest = rest[os.write(sys.stdout.fileno(), rest) :]
    return bool(chunk)


def _signal_group(group: int, signum: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signum)


def _shell_code(code: int) -> int:
    return 128 - code if code < 0 else code


def _die_with_parent() -> None:
    """Linux: SIGKILL this process when its parent ends (PR_SET_PDEATHSIG). Safe here: the guard has no threads."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(run_guarded(sys.argv[2:], float(sys.argv[1])))
