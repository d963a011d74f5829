"""`file://`: folders on any POSIX file system with hard links.

Files are written under a hidden temporary name, then linked or renamed, and the folder's entry is synced. A writer
holds a lock on its temporary file, so the next one can tell what a killed writer left and removes it. obstore is not
used: its listing stops at a file name with a newline or invalid UTF-8, and such a file must not block an inbox.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterator, MutableSequence, Sequence
from pathlib import Path
from typing import BinaryIO

import structlog

from tasks.storage.errors import AlreadyExists, is_permanent_file_error, not_found
from tasks.storage.objects import COPY_BYTES, ObjectInfo
from tasks.storage.uris import file_uri, path_of

TEMPORARY = ".tmp-"
STALE_S = 3600.0
"""Age from which an unlocked temporary file is removed. A network file system may keep locks within each host."""

log = structlog.get_logger()


class FolderStorage:
    """`Storage` for `file://`."""

    def __init__(self) -> None:
        self._tidied_s: dict[Path, float] = {}
        """When this process last looked into a folder for what killed writers left."""

    def list(self, prefix: str, passed_over: MutableSequence[str] | None = None) -> Iterator[ObjectInfo]:
        """List files below a folder. Skips unreadable subfolders (`lost+found`) and links to folders.

        Eight folders that link to each other would be 109,600 entries.
        """
        folder = path_of(prefix)
        try:
            entries = self._entries(folder)
        except (FileNotFoundError, NotADirectoryError):
            return
        yield from self._walk(entries, folder.resolve(), passed_over)

    def _walk(
        self, entries: Sequence[os.DirEntry[str]], root: Path, passed_over: MutableSequence[str] | None
    ) -> Iterator[ObjectInfo]:
        for entry in entries:
            try:
                status = entry.stat()
                is_folder = stat.S_ISDIR(status.st_mode)
                if entry.is_symlink() and (is_folder or (passed_over is not None and not _is_below(root, entry))):
                    log.info("symbolic link passed over", path=entry.path)
                    if passed_over is not None:
                        passed_over.append(file_uri(entry.path))
                    continue
                children = self._entries(Path(entry.path)) if is_folder else []
            except OSError as error:
                if not (isinstance(error, FileNotFoundError) or is_permanent_file_error(error)):
                    raise
                log.warning("entry skipped", path=entry.path, error=str(error))
                continue
            if is_folder:
                yield from self._walk(children, root, passed_over)
            elif stat.S_ISREG(status.st_mode) and not entry.name.startswith(TEMPORARY):
                yield self._object_info(Path(entry.path), status)

    def _entries(self, folder: Path) -> Sequence[os.DirEntry[str]]:
        with os.scandir(folder) as scan:
            return sorted(scan, key=lambda entry: os.fsencode(entry.name))

    def info(self, uri: str) -> ObjectInfo:
        path = path_of(uri)
        if not path.is_file():
            raise not_found(uri)
        return self._object_info(path, path.stat())

    def _object_info(self, path: Path, status: os.stat_result) -> ObjectInfo:
        return ObjectInfo(file_uri(path), status.st_size, f"{status.st_size:x}-{status.st_mtime_ns:x}")

    def open(self, uri: str) -> BinaryIO:
        try:
            return path_of(uri).open("rb")
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise not_found(uri) from None

    def copy(self, uri: str, path: Path) -> None:
        with self.open(uri) as source, path.open("wb") as sink:
            shutil.copyfileobj(source, sink, COPY_BYTES)

    def write(self, uri: str, data: bytes | Path, create: bool) -> None:
        target = path_of(uri)
        _make_folder(target.parent)
        self._tidy(target.parent)
        temporary = target.parent / f"{TEMPORARY}{secrets.token_hex(8)}"
        with temporary.open("xb") as sink:
            try:
                with contextlib.suppress(OSError):  # a file system without locks: `STALE_S` alone protects the file
                    fcntl.flock(sink, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if isinstance(data, Path):
                    with data.open("rb") as source:
                        shutil.copyfileobj(source, sink, COPY_BYTES)
                else:
                    sink.write(data)
                sink.flush()
                os.fsync(sink.fileno())
                if create:
                    os.link(temporary, target)
                else:
                    temporary.replace(target)
            except FileExistsError:
                raise AlreadyExists(uri) from None
            finally:
                temporary.unlink(missing_ok=True)
        _sync(target.parent)

    def _tidy(self, folder: Path) -> None:
        """Remove temporary files of killed writers, at most once in `STALE_S` for each folder."""
        now = time.monotonic()
        if now - self._tidied_s.get(folder, -STALE_S) < STALE_S:
            return
        self._tidied_s[folder] = now
        with os.scandir(folder) as scan:
            found = [Path(entry.path) for entry in scan if entry.name.startswith(TEMPORARY)]
        for path in found:
            try:
                if path.lstat().st_mtime < time.time() - STALE_S:
                    _remove_if_unlocked(path)
            except OSError as error:  # locked, removed by another, or not ours
                log.debug("temporary file kept", path=str(path), error=str(error))

    def delete(self, uri: str) -> None:
        path_of(uri).unlink(missing_ok=True)


def _is_below(root: Path, entry: os.DirEntry[str]) -> bool:
    return Path(entry.path).resolve().is_relative_to(root)


def _remove_if_unlocked(path: Path) -> None:
    # For writing: NFS emulates flock with locks of byte ranges, and an exclusive one needs it.
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
        log.info("temporary file of a killed writer removed", path=str(path))
    finally:
        os.close(descriptor)


def _make_folder(folder: Path) -> None:
    """Make a folder and its parents, and sync their entries."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in reversed(missing):
        _sync(path.parent)


def _sync(folder: Path) -> None:
    """Write a folder's entries to the disk: without it a file may be lost with the power, although it was synced."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems that cannot, such as SMB
            raise
    finally:
        os.close(descriptor)
