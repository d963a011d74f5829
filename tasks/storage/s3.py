"""`s3://`: any S3 with conditional puts (If-None-Match), through obstore.

The AWS SDK's environment variables configure it (`AWS_ENDPOINT_URL`, `AWS_REGION`, credentials or a service account's
web identity).
"""

from __future__ import annotations

import errno
import io
import os
import re
from collections.abc import Iterator, MutableSequence, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from tasks.contract import InputRejected, Misconfigured, Reason
from tasks.storage import s3_errors
from tasks.storage.errors import AlreadyExists, not_found
from tasks.storage.objects import COPY_BYTES, ObjectInfo
from tasks.storage.s3_errors import changed_while_read, failure_of, persistently

if TYPE_CHECKING:
    from obstore import Bytes, ObjectMeta
    from obstore.store import S3Config, S3Store

LIST_PAGE = 1000
PART_BYTES = 8 << 20
PARTS_AT_ONCE = 8
"""S3 gives one request 50 to 90 MB/s, after some 30 ms, so a copy asks for several parts of an object at a time."""
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_ENDPOINT = re.compile(r"https?://[^\s/?#]+(?:/[^\s?#]*)?")


class S3Storage:
    """`Storage` for `s3://`."""

    def __init__(self) -> None:
        self._stores: dict[str, S3Store] = {}
        self._existing: set[str] = set()
        """Buckets that have answered. HEAD tells a missing bucket and a missing key alike."""

    def _locate(self, uri: str) -> tuple[S3Store, str]:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        if bucket not in self._stores:
            self._stores[bucket] = _s3_store(bucket)
        return self._stores[bucket], key

    def list(self, prefix: str, passed_over: MutableSequence[str] | None = None) -> Iterator[ObjectInfo]:  # noqa: ARG002  no links
        """List objects. A listing that breaks off continues after its last key."""
        from obstore.exceptions import InvalidPathError

        bucket = prefix.removeprefix("s3://").partition("/")[0]
        last_key = ""
        try:
            for item in self._list(prefix):
                last_key = item["path"]
                if not _is_folder_marker(last_key, item["size"]):
                    yield ObjectInfo(f"s3://{bucket}/{last_key}", item["size"], item["e_tag"] or "")
        except InvalidPathError:
            _, key = self._locate(prefix)
            yield from _list_with_boto3(bucket, key, last_key, prefix)
        self._existing.add(bucket)

    def _list(self, prefix: str) -> Iterator[ObjectMeta]:
        import obstore

        store, key = self._locate(prefix)
        last_key: str | None = None

        def start() -> Iterator[Sequence[ObjectMeta]]:
            offset = _just_before(last_key) if last_key else None
            return iter(obstore.list(store, key.rstrip("/") or None, offset=offset, chunk_size=LIST_PAGE))

        chunks: Iterator[Sequence[ObjectMeta]] | None = None

        def next_chunk() -> Sequence[ObjectMeta] | None:
            nonlocal chunks
            chunks = chunks or start()
            try:
                return next(chunks, None)
            except Exception:
                chunks = None
                raise

        while (chunk := persistently(prefix, next_chunk)) is not None:
            for item in chunk:
                # Also because obstore strips a `/` at the end: that key follows the one without.
                if not _comes_again(item["path"], last_key):
                    last_key = item["path"]
                    yield item

    def info(self, uri: str) -> ObjectInfo:
        if (found := self._find(uri)) is None:
            raise not_found(uri)
        return found

    def _find(self, uri: str) -> ObjectInfo | None:
        import obstore

        store, key = self._locate(uri)
        bucket = uri.removeprefix("s3://").partition("/")[0]

        def head() -> ObjectMeta | None:
            try:
                return obstore.head(store, key)
            except FileNotFoundError:
                if bucket in self._existing:
                    return None
                raise

        try:
            meta = persistently(uri, head, ask_again=lambda: obstore.get_range(store, key, start=0, end=1))
        except InputRejected as error:
            if error.reason is not Reason.NOT_FOUND:
                raise
            meta = None
        except ValueError:
            raise _unsupported_key(uri) from None
        self._existing.add(bucket)
        return ObjectInfo(uri, meta["size"], meta["e_tag"] or "") if meta is not None else None

    def open(self, uri: str) -> BinaryIO:
        store, key = self._locate(uri)
        return cast(BinaryIO, io.BufferedReader(_ObjectReader(store, key, self.info(uri)), COPY_BYTES))

    def copy(self, uri: str, path: Path) -> None:
        store, key = self._locate(uri)
        stored = self.info(uri)
        starts = range(0, stored.size, PART_BYTES)
        with path.open("wb", buffering=0) as sink:

            def copy_part(start: int) -> None:
                data = _read_range(store, key, stored, start, start + PART_BYTES)
                while data:
                    n_written = os.pwrite(sink.fileno(), data, start)
                    data, start = data[n_written:], start + n_written

            pool = ThreadPoolExecutor(min(PARTS_AT_ONCE, max(1, len(starts))))
            try:
                for _ in pool.map(copy_part, starts):
                    pass
            finally:
                pool.shutdown(cancel_futures=True)

    def write(self, uri: str, data: bytes | Path, create: bool) -> None:
        import obstore

        store, key = self._locate(uri)
        if create:
            self._create(uri, data)
        else:
            persistently(uri, lambda: obstore.put(store, key, data))

    def _create(self, uri: str, data: bytes | Path) -> None:
        """Put an object unless there is one.

        S3 answers 412 if the object exists, and 409 if another request is creating it, which may fail: then the put is
        to be repeated. object_store 0.14 raises AlreadyExists for both (apache/arrow-rs-object-store#852), so look. It
        does not repeat conditional puts whose answer was lost: then the object may exist, and is ours if its bytes are.
        """
        import obstore
        from obstore.exceptions import AlreadyExistsError

        store, key = self._locate(uri)
        may_be_ours = False

        def put() -> None:
            nonlocal may_be_ours
            try:
                obstore.put(store, key, data, mode="create", use_multipart=False)
            except Exception as error:
                failure = failure_of(error)
                may_be_ours |= failure is not None and failure.may_have_been_done
                if not isinstance(error, AlreadyExistsError) or (standing := self._find(uri)) is None:
                    raise
                if not (may_be_ours and self._holds(standing, data)):
                    raise AlreadyExists(uri) from None

        persistently(uri, put)

    def _holds(self, stored: ObjectInfo, data: bytes | Path) -> bool:
        """Whether an object's bytes are those of `data`."""
        if stored.size != (data.stat().st_size if isinstance(data, Path) else len(data)):
            return False
        with self.open(stored.uri) as ours, data.open("rb") if isinstance(data, Path) else io.BytesIO(data) as wanted:
            while block := wanted.read(COPY_BYTES):
                if ours.read(len(block)) != block:
                    return False
        return True

    def delete(self, uri: str) -> None:
        import obstore

        store, key = self._locate(uri)
        persistently(uri, lambda: obstore.delete(store, key))


def _read_range(store: S3Store, key: str, stored: ObjectInfo, start: int, end: int) -> memoryview:
    """Read bytes of an object in one request, up to its end. Raises StepError if it was replaced meanwhile."""
    import obstore

    end = min(end, stored.size)
    if start >= end:
        return memoryview(b"")

    def get() -> tuple[Bytes, str]:
        answer = obstore.get(store, key, options={"range": (start, end)})
        return answer.bytes(), answer.meta["e_tag"] or ""

    data, etag = persistently(stored.uri, get)
    if stored.etag and etag and etag != stored.etag:
        raise changed_while_read(stored.uri)
    return memoryview(data)


class _ObjectReader(io.RawIOBase):
    """One object as a raw Python file, for `io.BufferedReader`, PyAV and pyarrow. Each read is one request."""

    def __init__(self, store: S3Store, key: str, stored: ObjectInfo) -> None:
        self._store, self._key, self._stored = store, key, stored
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        return bytes(self._read(max(0, self._stored.size - self._position)))

    def _read(self, n_bytes: int) -> memoryview:
        data = _read_range(self._store, self._key, self._stored, self._position, self._position + n_bytes)
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._stored.size}[whence]
        if base + offset < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position


def _list_with_boto3(bucket: str, key: str, last_key: str, prefix: str) -> Iterator[ObjectInfo]:
    """Continue a listing after `last_key` with boto3, which accepts any key.

    object_store 0.14 fails a whole page for one key with an empty segment, `.`, `..` or a control character. boto3
    takes twenty times the CPU time.
    """
    import boto3
    from botocore.config import Config

    endpoint, region = _endpoint_and_region()
    style = {"addressing_style": "path"} if endpoint else {}
    client = boto3.client("s3", endpoint_url=endpoint, region_name=region, config=Config(s3=style))
    folder = key.rstrip("/") + "/" if key.strip("/") else ""
    request = {"Bucket": bucket, "Prefix": folder, "MaxKeys": LIST_PAGE}
    if last_key:
        request["StartAfter"] = _just_before(last_key)
    while True:
        page = persistently(prefix, partial(client.list_objects_v2, **request))
        for item in page.get("Contents", ()):
            if not (_comes_again(item["Key"], last_key) or _is_folder_marker(item["Key"], item["Size"])):
                yield ObjectInfo(f"s3://{bucket}/{item['Key']}", item["Size"], item["ETag"])
        if not page.get("IsTruncated"):
            return
        request["ContinuationToken"] = page["NextContinuationToken"]


def _just_before(key: str) -> str:
    """A string before a key, so that a listing that continues after it begins with the key.

    SeaweedFS 4.48 lists `x/1` after `x`, but leaves out everything below `x/` in a listing that starts after `x`. It
    lists folder by folder, so the string must be in the key's folder: `x.…` before `x0`, not `x/…`.
    """
    before = "." if key[-1] == "0" else chr(ord(key[-1]) - 1)
    return key[:-1] + (before + "\U0010fffd" if before > " " and not "\ud800" <= before <= "\udfff" else "")


def _comes_again(key: str, last_key: str | None) -> bool:
    """Whether a key was listed before a listing continued just before `last_key`."""
    return last_key is not None and (
        key == last_key or (last_key.endswith("0") and key.startswith(f"{last_key[:-1]}/"))
    )


def _is_folder_marker(key: str, size: int) -> bool:
    """Whether an object marks a folder, as S3's console creates them. obstore strips the trailing `/`."""
    return not size and "." not in key.rstrip("/").rpartition("/")[2]


def _endpoint_and_region() -> tuple[str | None, str]:
    """Return the endpoint (None for Amazon's own) and the region."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    return endpoint or None, region


def _s3_store(bucket: str) -> S3Store:
    from obstore.store import S3Store

    endpoint, region = _endpoint_and_region()
    _check(bucket, endpoint)
    config: S3Config = {"region": region}
    if endpoint:
        config = {**config, "endpoint": endpoint, "virtual_hosted_style_request": False}
    return S3Store(
        bucket,
        config=config,
        client_options={"allow_http": bool(endpoint and endpoint.startswith("http://"))},
        retry_config={
            "max_retries": s3_errors.MAX_ATTEMPTS - 1,
            "backoff": {
                "init_backoff": timedelta(seconds=s3_errors.FIRST_DELAY_S),
                "max_backoff": timedelta(seconds=s3_errors.MAX_DELAY_S),
                "base": 2,
            },
        },
    )


def _check(bucket: str, endpoint: str | None) -> None:
    """Reject names with which object_store would panic."""
    if not _BUCKET.fullmatch(bucket):
        step = "use s3://bucket/prefix, with a bucket of letters, digits, dots and hyphens"
        raise Misconfigured(
            "not a bucket's name", reason=Reason.INVALID_ARGUMENT, subject=f"s3://{bucket}", next_step=step
        )
    if endpoint and not _ENDPOINT.fullmatch(endpoint):
        raise Misconfigured(
            "not an endpoint of S3",
            reason=Reason.INVALID_ARGUMENT,
            subject=f"AWS_ENDPOINT_URL={endpoint}",
            next_step="set it to http://host:port or https://host",
        )


def _unsupported_key(uri: str) -> InputRejected:
    return InputRejected(
        "unsupported key: it contains an empty segment, . or .. as a segment, or a control character",
        reason=Reason.UNREADABLE,
        subject=uri,
        next_step="rename the object",
    )
