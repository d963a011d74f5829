"""Scratch folders. They go with the process that made them; what a killed one left goes when the next one starts."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def scratch_folder(name: str) -> Iterator[Path]:
    """An empty folder below the system's place for temporary files, named after what it is for."""
    _clear()
    folder = Path(tempfile.mkdtemp(prefix=f"{_prefix()}{os.getpid()}-{name}-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _prefix() -> str:
    # With the host's name: containers may share the place, and count their processes each for itself.
    return f"airscript-{re.sub(r'[^A-Za-z0-9.]', '_', os.uname().nodename)}-"


def _clear() -> None:
    """Remove what processes of this host and user left that are no more."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_prefix()}*"):
        pid = folder.name.removeprefix(_prefix()).partition("-")[0]
        try:
            if pid.isdecimal() and folder.stat().st_uid == os.getuid() and not _lives(int(pid)):
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # another process clears too
            continue


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
