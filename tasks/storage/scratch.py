"""Scratch folders. They go with the process that made them; what a killed one left goes when the next one starts."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.contract import Reason, StepError


@contextmanager
def scratch_folder(name: str) -> Iterator[Path]:
    """An empty folder below the system's place for temporary files, named after what it is for."""
    _clear()
    folder = Path(tempfile.mkdtemp(prefix=f"{_prefix()}{os.getpid()}-{name}-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


LIMIT_VARIABLE = "AIRSCRIPT_SCRATCH"
_UNITS = {"": 1, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40}
_reserving = threading.Lock()
_reserved: dict[Path, int] = {}
"""Sizes of the files that are being written."""


@contextmanager
def reserved(path: Path, n_bytes: int, next_step: str) -> Iterator[None]:
    """Room for a file of a known size, which is written inside: looked for before the first byte.

    Raises:
        StepError: DISK_FULL; what lies there, or is to come, leaves too little.
    """
    with _reserving:
        to_come = sum(max(0, size - _size(other)) for other, size in _reserved.items())
        free = free_bytes(path.parent) - to_come
        if n_bytes > free:
            raise StepError(
                f"{n_bytes / 1e9:.1f} GB, and there is room for {max(0, free) / 1e9:.1f} GB",
                reason=Reason.DISK_FULL,
                subject=path.name,
                next_step=next_step,
            )
        _reserved[path] = n_bytes
    try:
        yield
    finally:
        del _reserved[path]


def free_bytes(folder: Path) -> int:
    """Room on the disk of `folder`, and below the limit of a pod's scratch volume: beyond that it is evicted."""
    free = shutil.disk_usage(folder).free
    if limit := re.fullmatch(r"(\d+)(|Ki|Mi|Gi|Ti)", os.environ.get(LIMIT_VARIABLE, "")):
        used = sum(map(_size, Path(tempfile.gettempdir()).rglob("*")))
        free = min(free, int(limit[1]) * _UNITS[limit[2]] - used)
    return free


def _size(path: Path) -> int:
    """0 of what is no file, or is one no more."""
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0


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
