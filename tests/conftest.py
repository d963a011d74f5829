"""What every test may ask for: real speech where it lies, and storage on a folder and on S3."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import s3_servers
from tests.s3_servers import S3Server

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("PYANNOTE_METRICS_ENABLED", "0")
os.environ.setdefault("OMP_NUM_THREADS", "1")

CHECKOUT = Path(__file__).parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that use S3. Files with slow tests come first: what is long must not begin last."""
    for item in items:
        parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        fixtures = getattr(item, "fixturenames", ())
        if "s3_server" in fixtures or parameters.get("storage_root") == "s3":
            item.add_marker("s3")
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
def s3_server() -> Iterator[S3Server]:
    """The real S3 of `S3_ENDPOINT`, or a SeaweedFS that is started here and removed afterwards."""
    if (server := s3_servers.given()) is not None:
        yield server
        return
    with s3_servers.seaweedfs() as server:
        yield server


@pytest.fixture(scope="session")
def moto_server() -> Iterator[S3Server]:
    """moto's S3 in this process: it has the other services of AWS, and checks no signatures."""
    with s3_servers.moto() as server:
        yield server


@pytest.fixture(scope="module")
def moto_endpoint(moto_server: S3Server) -> Iterator[str]:
    """The address of moto's services of AWS, to which the environment points."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in moto_server.environment.items():
            environment.setenv(name, value)
        yield moto_server.endpoint


@pytest.fixture
def s3(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty URI prefix on the real S3, to which the environment points."""
    yield from _empty_prefix(s3_server, monkeypatch)


@pytest.fixture
def moto_s3(moto_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty URI prefix on moto, to which the environment points."""
    yield from _empty_prefix(moto_server, monkeypatch)


def _empty_prefix(server: S3Server, environment: pytest.MonkeyPatch) -> Iterator[str]:
    from tasks import storage

    for name, value in server.environment.items():
        environment.setenv(name, value)
    storage._s3_storage.cache_clear()
    prefix = f"s3://{server.bucket}/test-{uuid.uuid4().hex[:12]}"
    yield prefix
    storage._s3_storage.cache_clear()
    if server.kind == server.endpoint:
        server.remove(prefix)


@pytest.fixture(params=["file", "s3"])
def storage_root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty URI prefix, once in a folder and once on the real S3."""
    if request.param == "file":
        return (tmp_path / "storage").as_uri()
    return f"{request.getfixturevalue('s3')}/root"
