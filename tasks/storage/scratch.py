"""Scratch folders, removed by their process or, if that was killed, by the next one to start; and free disk space."""

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
    """Create an empty folder in the system's temporary directory, and remove it afterwards."""
    _remove_stale_folders()
    folder = Path(tempfile.mkdtemp(prefix=f"{_prefix()}{os.getpid()}-{name}-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


SCRATCH_LIMIT_VARIABLE = "AIRSCRIPT_SCRATCH"
_UNITS = {"": 1, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40}
_reserving = threading.Lock()
_reserved: dict[Path, int] = {}
"""Final sizes of the files being written."""


@contextmanager
def reserve_space(path: Path, n_bytes: int, next_step: str) -> Iterator[None]:
    """Reserve disk space for a file of known size, to be written inside the block.

    Raises:
        StepError: DISK_FULL; existing files and other reservations leave too little space.
    """
    with _reserving:
        pending_bytes = sum(max(0, size - _size(other)) for other, size in _reserved.items())
        free = free_bytes(path.parent) - pending_bytes
        if n_bytes > free:
            raise StepError(
                f"needs {n_bytes / 1e9:.1f} GB, but only {max(0, free) / 1e9:.1f} GB are free",
                reason=Reason.DISK_FULL,
                subject=path.name,
                next_step=next_step,
            )
        _reserved[path] = n_bytes
    try:
        yield
    finally:
        with _reserving:  # another thread may be adding them up
            del _reserved[path]


def free_bytes(folder: Path) -> int:
    """Return the free space on the disk of `folder`, within the pod's scratch limit: exceeding that evicts the pod."""
    free = shutil.disk_usage(folder).free
    if limit := re.fullmatch(r"(\d+)(|Ki|Mi|Gi|Ti)", os.environ.get(SCRATCH_LIMIT_VARIABLE, "")):
        used = sum(map(_size, Path(tempfile.gettempdir()).rglob("*")))
        free = min(free, int(limit[1]) * _UNITS[limit[2]] - used)
    return free


def _size(path: Path) -> int:
    """Return a file's size; 0 for anything else, or if the file vanishes."""
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0


def _prefix() -> str:
    # With the host name: containers may share the temporary directory, and their process ids are independent.
    return f"airscript-{re.sub(r'[^A-Za-z0-9.]', '_', os.uname().nodename)}-"


def _remove_stale_folders() -> None:
    """Remove folders of dead processes of this host and user."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_prefix()}*"):
        pid = folder.name.removeprefix(_prefix()).partition("-")[0]
        try:
            if pid.isdecimal() and folder.stat().st_uid == os.getuid() and not _is_alive(int(pid)):
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # another process is removing it too
            continue


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
