"""Folders and S3 behind the same few functions: read, list, and publish so that nothing half-written is seen.

`uris` names objects, `folders` and `s3` read and write them, `records` are JSON objects and lines in them.
"""

from __future__ import annotations

import hashlib
import io
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import BinaryIO, cast

from tasks.contract import InputRejected, Misconfigured, Reason
from tasks.storage.errors import AlreadyExists, is_disk_full, is_forbidden, is_of_the_file
from tasks.storage.objects import COPY_BYTES, ObjectInfo, Storage
from tasks.storage.scratch import reserved
from tasks.storage.uris import file_uri, is_hidden, join, name_of, parent, path_of, quoted_name

__all__ = [
    "COPY_BYTES",
    "AlreadyExists",
    "ObjectInfo",
    "delete",
    "digest",
    "digest_file",
    "exists",
    "file_uri",
    "info",
    "is_disk_full",
    "is_forbidden",
    "is_hidden",
    "is_of_the_file",
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


def list_objects(prefix: str) -> Iterator[ObjectInfo]:
    """Every object under a prefix, as a stream, ordered by name inside each folder. An absent prefix is empty."""
    return _storage(prefix).list(prefix)


def info(uri: str) -> ObjectInfo:
    """Size and etag of one object. Raises InputRejected(not_found)."""
    return _storage(uri).info(uri)


def exists(uri: str) -> bool:
    """Whether the object is there."""
    try:
        info(uri)
    except InputRejected:
        return False
    return True


def open_reader(uri: str) -> BinaryIO:
    """A seekable binary file over the object, read as it is needed."""
    return _storage(uri).open(uri)


def read_bytes(uri: str) -> bytes:
    """The whole object."""
    with open_reader(uri) as file:
        return file.read()


def write(uri: str, data: bytes | Path, *, create: bool = False) -> None:
    """Publish an object at once. With `create`, only if nothing stands there: raises AlreadyExists."""
    _storage(uri).write(uri, data, create)


def delete(uri: str) -> None:
    """Remove one object; nothing happens if it is not there."""
    _storage(uri).delete(uri)


def digest(uri: str) -> str:
    """sha256 of the object's bytes, in hexadecimal, with flat memory."""
    with open_reader(uri) as file:
        return hashlib.file_digest(cast(io.BufferedReader, file), "sha256").hexdigest()


def digest_file(path: Path) -> str:
    """sha256 of a local file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def local_copy(uri: str, scratch: Path) -> Path:
    """A local path with the object's bytes: the file itself for `file://`, else a copy in `scratch`.

    Raises:
        StepError: DISK_FULL, before anything is copied, where it would not fit.
    """
    if uri.startswith("file://"):
        info(uri)
        return path_of(uri)
    tail = name_of(uri).encode()[-80:].decode(errors="ignore")  # file systems count bytes
    target = scratch / f"{hashlib.sha256(uri.encode()).hexdigest()[:16]}-{tail}"
    if not target.exists():
        partial = target.with_suffix(".partial")
        room = reserved(partial, info(uri).size, "give its step a larger scratch volume")
        with room, open_reader(uri) as source, partial.open("wb") as sink:
            shutil.copyfileobj(source, sink, COPY_BYTES)
        partial.replace(target)
    return target


def _storage(uri: str) -> Storage:
    if uri.startswith("file:///"):
        return _folders()
    if uri.startswith("s3://"):
        return _s3()
    raise Misconfigured(
        "not a URI that this program can read or write",
        reason=Reason.INVALID_ARGUMENT,
        subject=uri,
        next_step="give file:///path or s3://bucket/prefix",
    )


@cache
def _folders() -> Storage:
    from tasks.storage.folders import Folders

    return Folders()


@cache
def _s3() -> Storage:
    from tasks.storage.s3 import S3

    return S3()
