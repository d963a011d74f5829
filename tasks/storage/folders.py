"""`file://`: folders on any POSIX file system with hard links.

Files are written under a hidden temporary name, then linked or renamed. obstore is not used: its listing stops at a
file name with a newline or invalid UTF-8, and such a file must not block an inbox.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Sequence, Set
from pathlib import Path
from typing import BinaryIO

import structlog

from tasks.storage.errors import AlreadyExists, is_permanent_file_error, not_found
from tasks.storage.objects import COPY_BYTES, ObjectInfo
from tasks.storage.uris import file_uri, path_of

TEMPORARY = ".tmp-"

log = structlog.get_logger()


class FolderStorage:
    """`Storage` for `file://`."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """List files below a folder. Skips unreadable subfolders (`lost+found`) and links to a parent folder."""
        folder = path_of(prefix)
        try:
            entries, status = self._entries(folder), folder.stat()
        except (FileNotFoundError, NotADirectoryError):
            return
        yield from self._walk(entries, {(status.st_dev, status.st_ino)})

    def _walk(self, entries: Sequence[os.DirEntry[str]], ancestors: Set[tuple[int, int]]) -> Iterator[ObjectInfo]:
        for entry in entries:
            try:
                status = entry.stat()
                identity = status.st_dev, status.st_ino
                is_folder = stat.S_ISDIR(status.st_mode) and identity not in ancestors
                children = self._entries(Path(entry.path)) if is_folder else []
            except OSError as error:
                if not (isinstance(error, FileNotFoundError) or is_permanent_file_error(error)):
                    raise
                log.warning("entry skipped", path=entry.path, error=str(error))
                continue
            if is_folder:
                yield from self._walk(children, ancestors | {identity})
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

    def write(self, uri: str, data: bytes | Path, create: bool) -> None:
        target = path_of(uri)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.parent / f"{TEMPORARY}{secrets.token_hex(8)}"
        try:
            with temporary.open("wb") as sink:
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

    def delete(self, uri: str) -> None:
        path_of(uri).unlink(missing_ok=True)
