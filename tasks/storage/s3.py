"""`s3://`: any S3 with conditional puts (If-None-Match), through obstore.

The AWS SDK's environment variables configure it (`AWS_ENDPOINT_URL`, `AWS_REGION`, credentials or a service account's
web identity).
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from tasks.contract import InputRejected, Reason
from tasks.storage.errors import AlreadyExists, not_found
from tasks.storage.objects import COPY_BYTES, ObjectInfo

if TYPE_CHECKING:
    from obstore.store import S3Config, S3Store


class S3Storage:
    """`Storage` for `s3://`."""

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
        last_key = ""
        try:
            for chunk in obstore.list(store, key.rstrip("/") or None, chunk_size=1000):
                for item in chunk:
                    last_key = item["path"]
                    if not _is_folder_marker(last_key, item["size"]):
                        yield ObjectInfo(f"s3://{bucket}/{last_key}", item["size"], item["e_tag"] or "")
        except InvalidPathError:
            yield from _list_with_boto3(bucket, key, start_after=last_key)

    def info(self, uri: str) -> ObjectInfo:
        import obstore

        store, key = self._locate(uri)
        try:
            meta = obstore.head(store, key)
        except FileNotFoundError:
            raise not_found(uri) from None
        except ValueError:
            raise _unsupported_key(uri) from None
        return ObjectInfo(uri, meta["size"], meta["e_tag"] or "")

    def open(self, uri: str) -> BinaryIO:
        import obstore

        store, key = self._locate(uri)
        try:
            reader = obstore.open_reader(store, key, buffer_size=COPY_BYTES)
        except FileNotFoundError:
            raise not_found(uri) from None
        except ValueError:
            raise _unsupported_key(uri) from None
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
    """Adapter from obstore's reader to a raw Python file, for `io.BufferedReader`, PyAV and pyarrow."""

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


def _list_with_boto3(bucket: str, key: str, start_after: str) -> Iterator[ObjectInfo]:
    """Continue a listing after the key `start_after` with boto3, which accepts any key.

    object_store 0.14 fails a whole page for one key with an empty segment, `.`, `..` or a control character. boto3
    takes twenty times the CPU time.
    """
    import boto3
    from botocore.config import Config

    endpoint, region = _endpoint_and_region()
    style = {"addressing_style": "path"} if endpoint else {}
    client = boto3.client("s3", endpoint_url=endpoint, region_name=region, config=Config(s3=style))
    folder = key.rstrip("/") + "/" if key.strip("/") else ""
    request = {"Bucket": bucket, "Prefix": folder} | ({"StartAfter": start_after} if start_after else {})
    for page in client.get_paginator("list_objects_v2").paginate(**request):
        for item in page.get("Contents", ()):
            if not _is_folder_marker(item["Key"], item["Size"]):
                yield ObjectInfo(f"s3://{bucket}/{item['Key']}", item["Size"], item["ETag"])


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
    config: S3Config = {"region": region}
    if endpoint:
        config = {**config, "endpoint": endpoint, "virtual_hosted_style_request": False}
    return S3Store(
        bucket,
        config=config,
        client_options={"allow_http": bool(endpoint and endpoint.startswith("http://"))},
    )


def _unsupported_key(uri: str) -> InputRejected:
    return InputRejected(
        "unsupported key: it contains an empty segment, . or .. as a segment, or a control character",
        reason=Reason.UNREADABLE,
        subject=uri,
        next_step="rename the object",
    )
