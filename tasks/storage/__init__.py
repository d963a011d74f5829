"""One interface to folders and S3: list, read, and write atomically, so that no reader sees a partial object.

`uris` handles names, `folders` and `s3` implement `objects.Storage`, `records` reads and writes JSON, `scratch` holds
temporary folders and reserves disk space, `errors` classifies what goes wrong.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, MutableSequence
from functools import cache
from pathlib import Path
from typing import BinaryIO, cast

from tasks.contract import InputRejected, Misconfigured, Reason
from tasks.storage.errors import AlreadyExists, is_access_denied, is_disk_full, is_permanent_file_error
from tasks.storage.objects import ObjectInfo, Storage
from tasks.storage.scratch import reserve_space
from tasks.storage.uris import (
    canonical,
    file_uri,
    in_form,
    is_hidden,
    is_inside,
    join,
    name_of,
    parent,
    path_of,
    quoted_name,
)

__all__ = [
    "AlreadyExists",
    "ObjectInfo",
    "canonical",
    "copy",
    "delete",
    "digest",
    "digest_file",
    "exists",
    "file_uri",
    "in_form",
    "info",
    "is_access_denied",
    "is_disk_full",
    "is_hidden",
    "is_inside",
    "is_permanent_file_error",
    "join",
    "list_objects",
    "local_copy",
    "name_of",
    "open_reader",
    "parent",
    "path_of",
    "quoted_name",
    "read_bytes",
    "write",
]


def list_objects(prefix: str, passed_over: MutableSequence[str] | None = None) -> Iterator[ObjectInfo]:
    """Yield all objects under a prefix, sorted by name within each folder. A missing prefix is empty.

    `passed_over`: for a folder to which others write. No symbolic link is followed out of it then; the links that were
    not followed are appended.
    """
    return _storage(prefix).list(prefix, passed_over)


def info(uri: str) -> ObjectInfo:
    """Return size and etag of an object. Raises InputRejected(NOT_FOUND)."""
    return _storage(uri).info(uri)


def exists(uri: str) -> bool:
    """Whether an object exists."""
    try:
        info(uri)
    except InputRejected:
        return False
    return True


def open_reader(uri: str) -> BinaryIO:
    """Open an object as a seekable binary file that is read on demand."""
    return _storage(uri).open(uri)


def read_bytes(uri: str) -> bytes:
    """Read a whole object."""
    with open_reader(uri) as file:
        return file.read()


def copy(uri: str, path: Path) -> None:
    """Copy an object to a local file. If it fails, the file is incomplete."""
    _storage(uri).copy(uri, path)


def write(uri: str, data: bytes | Path, *, create: bool = False) -> None:
    """Write an object atomically. With `create`, raise AlreadyExists if there is one already."""
    _storage(uri).write(uri, data, create)


def delete(uri: str) -> None:
    """Delete an object, if it exists."""
    _storage(uri).delete(uri)


def digest(uri: str) -> str:
    """Return the hexadecimal sha256 of an object, in constant memory."""
    with open_reader(uri) as file:
        return hashlib.file_digest(cast(io.BufferedReader, file), "sha256").hexdigest()


def digest_file(path: Path) -> str:
    """Return the hexadecimal sha256 of a local file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def local_copy(uri: str, scratch: Path) -> Path:
    """Return a local path to an object: the file itself for `file://`, else a copy in `scratch`.

    Raises:
        StepError: DISK_FULL, before copying, if the object does not fit on the disk.
    """
    if uri.startswith("file://"):
        info(uri)
        return path_of(uri)
    tail = name_of(uri).encode()[-80:].decode(errors="ignore")  # file systems limit names in bytes
    target = scratch / f"{hashlib.sha256(uri.encode()).hexdigest()[:16]}-{tail}"
    if not target.exists():
        partial = target.with_suffix(".partial")
        room = reserve_space(partial, info(uri).size, "give the step a larger scratch volume")
        with room:
            copy(uri, partial)
        partial.replace(target)
    return target


def _storage(uri: str) -> Storage:
    if uri.startswith("file:///"):
        return _folder_storage()
    if uri.startswith("s3://"):
        return _s3_storage()
    raise Misconfigured(
        "unsupported URI",
        reason=Reason.INVALID_ARGUMENT,
        subject=uri,
        next_step="use file:///path or s3://bucket/prefix",
    )


@cache
def _folder_storage() -> Storage:
    from tasks.storage.folders import FolderStorage

    return FolderStorage()


@cache
def _s3_storage() -> Storage:
    from tasks.storage.s3 import S3Storage

    return S3Storage()
