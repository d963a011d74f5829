"""A lock that allows one `up`, `down` or `demo` at a time in a home folder."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from io import TextIOWrapper
from pathlib import Path
from types import TracebackType

from local.settings import UserError

STOP_TIMEOUT_S = 90.0


class Lock:
    """A file lock that is released when its holder dies. The file contains the holder's pid."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIOWrapper | None = None

    def __enter__(self) -> Lock:
        if not self._acquire():
            raise UserError(
                f"another command is using {self._path.parent.parent} (pid {self._holder() or 'unknown'}). "
                "Wait for it, or stop it with `make down`."
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file:
            self._file.close()
            self._file = None

    def interrupt_holder(self) -> bool:
        """Send SIGTERM to the lock's holder and wait for it to end. Return whether there was a holder.

        The pid cannot belong to another process: the lock is held, so its holder is alive.
        """
        if self._acquire():
            self.__exit__(None, None, None)
            return False
        holder, began = self._holder(), time.monotonic()
        if holder is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(holder, signal.SIGTERM)
        while not self._acquire():
            if time.monotonic() - began > STOP_TIMEOUT_S:
                raise UserError(f"the running command (pid {holder}) does not stop. End it: kill -9 {holder}")
            time.sleep(0.2)
        self.__exit__(None, None, None)
        return True

    def _acquire(self) -> bool:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = self._path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        self._file = file
        return True

    def _holder(self) -> int | None:
        text = self._path.read_text().strip()
        return int(text) if text.isdecimal() else None
