"""What every test may ask for: real speech where it lies, and storage on a folder and on S3."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("PYANNOTE_METRICS_ENABLED", "0")
os.environ.setdefault("OMP_NUM_THREADS", "1")

CHECKOUT = Path(__file__).parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first: what is long must not begin last, while the other core waits."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def speech() -> Path:
    """The folder of real speech: `AIRSCRIPT_SPEECH`, or `shared/speech` beside the checkout. Skips without it."""
    folder = Path(os.environ.get("AIRSCRIPT_SPEECH") or CHECKOUT.parent / "shared" / "speech")
    if not (folder / "manifest.jsonl").is_file():
        pytest.skip("no folder of real speech (set AIRSCRIPT_SPEECH)")
    return folder


@pytest.fixture(scope="session")
def whisper_base() -> Path:
    """Whisper base, multilingual, in CTranslate2's format. Skips without it."""
    return _weights("whisper-base")


@pytest.fixture(scope="session")
def whisper_tiny_en() -> Path:
    """Whisper tiny.en in CTranslate2's format. Skips without it."""
    return _weights("whisper-tiny.en")


@pytest.fixture(scope="session")
def diarization_weights() -> Path:
    """segmentation-3.0 and CAM++ as PyTorch files. Skips without them."""
    return _weights("diarization")


def _weights(name: str) -> Path:
    from local import weights

    folder = weights.folder(name)
    if folder is None:
        pytest.skip(f"{name} is not installed (run `python -m local.weights`)")
    return folder


@pytest.fixture(scope="session")
def kafka_broker() -> Iterator[str]:
    """The address of a real broker: `KAFKA_BOOTSTRAP`, or one that is started here and removed afterwards."""
    from benchmarks.support.kafka_brokers import brokers

    with brokers() as addresses:
        yield addresses


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """A real HTTP S3 server (moto's) in this process, with the environment that points at it."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as environment:
        for name, value in settings.items():
            environment.setenv(name, value)
        yield settings["AWS_ENDPOINT_URL"]
    server.stop()


@pytest.fixture
def s3(s3_endpoint: str) -> str:
    """The URI of an empty bucket."""
    import boto3

    bucket = f"test-{uuid.uuid4().hex[:12]}"
    boto3.client("s3", endpoint_url=s3_endpoint).create_bucket(Bucket=bucket)
    return f"s3://{bucket}"


@pytest.fixture(params=["file", "s3"])
def storage_root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty URI prefix, once on a folder and once on S3."""
    if request.param == "file":
        return (tmp_path / "storage").as_uri()
    return f"{request.getfixturevalue('s3')}/root"
