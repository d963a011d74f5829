"""Folders and S3 behind the same few functions: read, list, and publish so that nothing half-written is seen.

A URI is `file:///path` (percent-encoded as RFC 8089 asks, so any file name has one) or `s3://bucket/key` (the key as
it is). A folder is written through a hidden temporary file and a link or a rename; S3 through a conditional put.
S3 goes through obstore. Folders do not: its listing stops at a file whose name holds a newline or is not UTF-8, and
an inbox must survive such a file.

Settings for S3 are the AWS SDK's own environment variables (`AWS_ENDPOINT_URL`, `AWS_REGION`, credentials or a
service account's web identity).
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, cast
from urllib.parse import unquote_to_bytes

import structlog

from tasks.contract import InputRejected, Misconfigured, Reason
from tasks.scratch import reserved

if TYPE_CHECKING:
    from obstore.store import S3Config, S3Store

COPY_BYTES = 1 << 20
_TEMPORARY = ".tmp-"

log = structlog.get_logger()


class AlreadyExists(Exception):
    """Another writer published this object first."""


@dataclass(frozen=True)
class ObjectInfo:
    """One object as a listing shows it. `etag` changes whenever the content does."""

    uri: str
    size: int
    etag: str


class Storage(Protocol):
    """What a scheme must offer. `uri` is always whole."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]: ...
    def info(self, uri: str) -> ObjectInfo: ...
    def open(self, uri: str) -> BinaryIO: ...
    def write(self, uri: str, data: bytes | Path, create: bool) -> None: ...
    def delete(self, uri: str) -> None: ...


def join(prefix: str, *parts: str) -> str:
    """`prefix/part/part`. Parts are names of ours, never names from outside: those come from listings."""
    return "/".join([prefix.rstrip("/"), *parts])


def parent(uri: str) -> str:
    """The folder that holds `uri`."""
    return uri.rstrip("/").rsplit("/", 1)[0]


def file_uri(path: Path | str) -> str:
    """The `file://` URI of a path, whatever bytes its name holds."""
    return Path(path).absolute().as_uri()


def path_of(uri: str) -> Path:
    """The path behind a `file://` URI."""
    return Path(os.fsdecode(unquote_to_bytes(uri.removeprefix("file://"))))


def name_of(uri: str) -> str:
    """The last part of a URI as a person would write it: decoded for `file://`, as it is for `s3://`."""
    name = uri.rstrip("/").rsplit("/", 1)[-1]
    return os.fsdecode(unquote_to_bytes(name)) if uri.startswith("file://") else name


def is_hidden(uri: str, root: str) -> bool:
    """Whether an object, or a folder between it and `root`, has a name that begins with a dot."""
    return any(part.startswith(".") for part in uri.removeprefix(root.rstrip("/")).split("/"))


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
        return _FOLDERS
    if uri.startswith("s3://"):
        return _s3()
    raise Misconfigured(
        "not a URI that this program can read or write",
        reason=Reason.INVALID_ARGUMENT,
        subject=uri,
        next_step="give file:///path or s3://bucket/prefix",
    )


def _not_found(uri: str) -> InputRejected:
    return InputRejected(
        "no such object",
        reason=Reason.NOT_FOUND,
        subject=uri,
        next_step="check the URI and the credentials' rights",
    )


def _odd_name(uri: str) -> InputRejected:
    return InputRejected(
        "cannot be read under this name: it holds an empty folder, . or .. as a folder, or a control character",
        reason=Reason.UNREADABLE,
        subject=uri,
        next_step="rename the object",
    )


class _Folders:
    """`file://`: any POSIX file system with hard links."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """A folder below that may not be read (`lost+found`), or a link that leads back up, is passed over."""
        folder = path_of(prefix)
        try:
            entries, status = self._entries(folder), folder.stat()
        except (FileNotFoundError, NotADirectoryError):
            return
        yield from self._walk(entries, {(status.st_dev, status.st_ino)})

    def _walk(self, entries: Sequence[os.DirEntry[str]], above: Set[tuple[int, int]]) -> Iterator[ObjectInfo]:
        for entry in entries:
            try:
                status = entry.stat()
                identity = status.st_dev, status.st_ino
                is_folder = stat.S_ISDIR(status.st_mode) and identity not in above
                inside = self._entries(Path(entry.path)) if is_folder else []
            except OSError as error:
                if not (isinstance(error, FileNotFoundError) or is_of_the_file(error)):
                    raise
                log.warning("passed over", path=entry.path, why=str(error))
                continue
            if is_folder:
                yield from self._walk(inside, above | {identity})
            elif stat.S_ISREG(status.st_mode) and not entry.name.startswith(_TEMPORARY):
                yield self._described(Path(entry.path), status)

    def _entries(self, folder: Path) -> Sequence[os.DirEntry[str]]:
        with os.scandir(folder) as scan:
            return sorted(scan, key=lambda entry: os.fsencode(entry.name))

    def info(self, uri: str) -> ObjectInfo:
        path = path_of(uri)
        if not path.is_file():
            raise _not_found(uri)
        return self._described(path, path.stat())

    def _described(self, path: Path, status: os.stat_result) -> ObjectInfo:
        return ObjectInfo(file_uri(path), status.st_size, f"{status.st_size:x}-{status.st_mtime_ns:x}")

    def open(self, uri: str) -> BinaryIO:
        try:
            return path_of(uri).open("rb")
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise _not_found(uri) from None

    def write(self, uri: str, data: bytes | Path, create: bool) -> None:
        target = path_of(uri)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.parent / f"{_TEMPORARY}{secrets.token_hex(8)}"
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


class _S3:
    """`s3://`: any S3 with conditional puts (If-None-Match), through obstore."""

    def __init__(self) -> None:
        self._stores: dict[str, S3Store] = {}

    def _locate(self, uri: str) -> tuple[S3Store, str]:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        if bucket not in self._stores:
            self._stores[bucket] = _s3_store(bucket)
        return self._stores[bucket], key

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        import obstore
        from obstore.exceptions import InvalidPathError

        store, key = self._locate(prefix)
        bucket = prefix.removeprefix("s3://").partition("/")[0]
        last = ""
        try:
            for chunk in obstore.list(store, key.rstrip("/") or None, chunk_size=1000):
                for item in chunk:
                    last = item["path"]
                    if not _is_folder_marker(last, item["size"]):
                        yield ObjectInfo(f"s3://{bucket}/{last}", item["size"], item["e_tag"] or "")
        except InvalidPathError:
            yield from _list_any_name(bucket, key, last)

    def info(self, uri: str) -> ObjectInfo:
        import obstore

        store, key = self._locate(uri)
        try:
            meta = obstore.head(store, key)
        except FileNotFoundError:
            raise _not_found(uri) from None
        except ValueError:
            raise _odd_name(uri) from None
        return ObjectInfo(uri, meta["size"], meta["e_tag"] or "")

    def open(self, uri: str) -> BinaryIO:
        import obstore

        store, key = self._locate(uri)
        try:
            reader = obstore.open_reader(store, key, buffer_size=COPY_BYTES)
        except FileNotFoundError:
            raise _not_found(uri) from None
        except ValueError:
            raise _odd_name(uri) from None
        return cast(BinaryIO, io.BufferedReader(_ObjectReader(reader), COPY_BYTES))

    def write(self, uri: str, data: bytes | Path, create: bool) -> None:
        import obstore
        from obstore.exceptions import AlreadyExistsError

        store, key = self._locate(uri)
        try:
            if create:
                obstore.put(store, key, data, mode="create", use_multipart=False)
            else:
                obstore.put(store, key, data)
        except AlreadyExistsError:
            raise AlreadyExists(uri) from None

    def delete(self, uri: str) -> None:
        import obstore

        store, key = self._locate(uri)
        obstore.delete(store, key)


class _ObjectReader(io.RawIOBase):
    """obstore's reader as a raw Python file, so that `io.BufferedReader`, PyAV and pyarrow take it."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = memoryview(self._reader.read(len(buffer)))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._reader.seek(offset, whence))

    def tell(self) -> int:
        return int(self._reader.tell())


def _list_any_name(bucket: str, key: str, after: str) -> Iterator[ObjectInfo]:
    """The rest of a listing, behind the key `after`, whatever the names hold.

    object_store 0.14 gives up a whole page for one key with an empty segment, `.`, `..` or a control character. boto3
    takes any key, and twenty times the processor time.
    """
    import boto3
    from botocore.config import Config

    endpoint, region = _s3_address()
    style = {"addressing_style": "path"} if endpoint else {}
    client = boto3.client("s3", endpoint_url=endpoint, region_name=region, config=Config(s3=style))
    folder = key.rstrip("/") + "/" if key.strip("/") else ""
    asked = {"Bucket": bucket, "Prefix": folder} | ({"StartAfter": after} if after else {})
    for page in client.get_paginator("list_objects_v2").paginate(**asked):
        for item in page.get("Contents", ()):
            if not _is_folder_marker(item["Key"], item["Size"]):
                yield ObjectInfo(f"s3://{bucket}/{item['Key']}", item["Size"], item["ETag"])


def _is_folder_marker(key: str, size: int) -> bool:
    """Whether an object stands for a folder, as S3's console makes them. obstore takes the last `/` away."""
    return not size and "." not in key.rstrip("/").rpartition("/")[2]


def _s3_address() -> tuple[str | None, str]:
    """Endpoint, None for Amazon's own, and region."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    return endpoint or None, region


def _s3_store(bucket: str) -> S3Store:
    from obstore.store import S3Store

    endpoint, region = _s3_address()
    config: S3Config = {"region": region}
    if endpoint:
        config = {**config, "endpoint": endpoint, "virtual_hosted_style_request": False}
    return S3Store(
        bucket,
        config=config,
        client_options={"allow_http": bool(endpoint and endpoint.startswith("http://"))},
    )


_FOLDERS: Storage = _Folders()


@cache
def _s3() -> Storage:
    return _S3()


def is_of_the_file(error: OSError) -> bool:
    """Whether an error speaks of the one file that was asked for, and will again: no rights, no such name possible."""
    return error.errno in (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP, errno.EISDIR, errno.EILSEQ)


def is_forbidden(error: BaseException) -> bool:
    """Whether S3 refuses an object to these credentials."""
    from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

    return isinstance(error, PermissionDeniedError | UnauthenticatedError)


def is_disk_full(error: BaseException) -> bool:
    """Whether an exception says that the disk or the quota is used up."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
