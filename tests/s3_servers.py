"""S3 servers for tests: SeaweedFS, anybody's server by its address, and moto where faults are forced."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

SEAWEEDFS = "seaweedfs"
MOTO = "moto"


@dataclass(frozen=True)
class S3Server:
    """A server, and the bucket that tests may fill."""

    kind: str
    """`SEAWEEDFS`, `MOTO`, or the address of another server."""
    endpoint: str
    access_key: str
    secret_key: str
    bucket: str
    region: str = "us-east-1"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": self.region,
        }

    @cached_property
    def client(self) -> Any:
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name=self.region,
        )

    def put(self, uri: str, data: bytes) -> None:
        """Write an object as other programs do, with any key."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        self.client.put_object(Bucket=bucket, Key=key, Body=data)

    def remove(self, prefix: str) -> None:
        """Delete all objects below a prefix."""
        bucket, _, key = prefix.removeprefix("s3://").partition("/")
        for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{key}/"):
            for item in page.get("Contents", []):
                self.client.delete_object(Bucket=bucket, Key=item["Key"])


def given() -> S3Server | None:
    """The server of `S3_ENDPOINT`, `S3_ACCESS_KEY`, `S3_SECRET_KEY`, `S3_BUCKET` and `S3_REGION`, if these are set."""
    if not (endpoint := os.environ.get("S3_ENDPOINT")):
        return None
    names = ("S3_ACCESS_KEY", "S3_SECRET_KEY", "S3_BUCKET")
    if missing := [name for name in names if not os.environ.get(name)]:
        raise RuntimeError(f"S3_ENDPOINT is set, but not {', '.join(missing)}")
    key, secret, bucket = (os.environ[name] for name in names)
    return S3Server(endpoint, endpoint, key, secret, bucket, os.environ.get("S3_REGION", "us-east-1"))


@contextmanager
def seaweedfs() -> Iterator[S3Server]:
    """A SeaweedFS of its own with an empty bucket."""
    from local.s3_server import server

    key, secret = "tests", "secret-of-the-tests"
    with server(key, secret) as endpoint:
        started = S3Server(SEAWEEDFS, endpoint, key, secret, "airscript-tests")
        started.client.create_bucket(Bucket=started.bucket)
        yield started


@contextmanager
def moto() -> Iterator[S3Server]:
    """moto's server in this process, which checks no signatures."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        started = S3Server(MOTO, f"http://{host}:{port}", "test", "test", "airscript-tests")
        started.client.create_bucket(Bucket=started.bucket)
        yield started
    finally:
        server.stop()
