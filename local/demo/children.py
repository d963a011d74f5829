"""Commands that run beside the demo's main thread, and end with it."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock

from local.settings import CHECKOUT

GRACE_S = 5.0


class Children:
    """Runs commands, from any thread. `stop` ends those that run and prevents new ones."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._is_stopped = False

    def run(self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> bool:
        """Run a command in the checkout, its output in `log`; returns whether it succeeded."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as sink:
            with self._lock:
                if self._is_stopped:
                    return False
                process = subprocess.Popen(
                    command,
                    cwd=CHECKOUT,
                    env=None if environment is None else dict(environment),
                    stdout=sink,
                    stderr=subprocess.STDOUT,
                )
                self._running.add(process)
            try:
                return process.wait() == 0
            finally:
                with self._lock:
                    self._running.discard(process)

    def stop(self) -> None:
        """Terminate the running commands; kill those that take too long."""
        with self._lock:
            self._is_stopped = True
            running = list(self._running)
        for process in running:
            process.terminate()
        for process in running:
            try:
                process.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()
