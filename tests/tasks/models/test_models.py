"""Models by URI: folders, train steps and MLflow's registry, a real one reached in every way."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tasks import models, storage
from tasks.contract import InputRejected, Misconfigured, Reason, StepError
from tasks.models.content import DIGEST_TAG, content_digest
from tests.tasks.night.results import write_result

FILES = {"config.json": b"{}", "model.safetensors": b"weights"}


def folder(place: Path, files: dict[str, bytes] = FILES) -> Path:
    for name, data in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)
    return place


def content(place: Path) -> dict[str, bytes]:
    return {str(p.relative_to(place)): p.read_bytes() for p in place.rglob("*") if p.is_file()}


def test_a_local_folder_is_not_copied(tmp_path: Path) -> None:
    place = folder(tmp_path / "base")
    reference = models.resolve(str(place))
    assert reference.uri == place.as_uri()
    assert models.resolve(place.as_uri()) == reference
    assert models.fetch(reference, tmp_path / "scratch") == place


def test_a_copied_folder_is_the_same_model_and_a_changed_one_is_not(tmp_path: Path) -> None:
    place = folder(tmp_path / "base")
    shutil.copytree(place, tmp_path / "copy")
    first, copy = models.resolve(str(place)), models.resolve(str(tmp_path / "copy"))
    assert (first.digest, first.version) == (copy.digest, copy.version)
    (place / "README.md").write_text("How it was made")
    assert models.resolve(str(place)).digest == first.digest
    (place / "model.safetensors").write_bytes(b"other weights")
    assert models.resolve(str(place)).digest != first.digest


def test_a_prefix_in_s3_is_fetched_once(s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, data in FILES.items():
        storage.write(f"{s3}/models/base/{name}", data)
    monkeypatch.setenv("AIRSCRIPT_MODEL_CACHE", str(tmp_path / "cache"))
    reference = models.resolve(f"{s3}/models/base/")
    place = models.fetch(reference, tmp_path / "scratch")
    assert content(place) == FILES
    storage.delete(f"{s3}/models/base/config.json")
    assert models.fetch(reference, tmp_path / "other") == place  # the cache has it


def test_steps_on_one_host_share_the_cache(s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, data in FILES.items():
        storage.write(f"{s3}/models/base/{name}", data)
    monkeypatch.setenv("AIRSCRIPT_MODEL_CACHE", str(tmp_path / "cache"))
    reference = models.resolve(f"{s3}/models/base")
    found: list[dict[str, bytes]] = []
    steps = [
        threading.Thread(target=lambda: found.append(content(models.fetch(reference, tmp_path)))) for _ in range(4)
    ]
    for step in steps:
        step.start()
    for step in steps:
        step.join()
    assert found == [FILES] * 4
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_the_model_of_a_train_step(storage_root: str, tmp_path: Path) -> None:
    outputs = {f"model/{name}": data for name, data in FILES.items()}
    uri = write_result(storage.join(storage_root, "train"), "train", outputs | {"metrics.json": b"{}"})
    reference = models.resolve(uri)
    assert reference.uri == uri
    assert reference.version.startswith("train-")
    assert content(models.fetch(reference, tmp_path)) == FILES


def test_a_changed_output_of_a_train_step_is_named(storage_root: str, tmp_path: Path) -> None:
    outputs = {f"model/{name}": data for name, data in FILES.items()}
    uri = write_result(storage.join(storage_root, "train"), "train", outputs)
    (weights,) = (o.uri for o in storage.list_objects(storage_root) if o.uri.endswith("model.safetensors"))
    storage.write(weights, b"Weights")
    with pytest.raises(InputRejected, match="is not what its step wrote") as error:
        models.fetch(models.resolve(uri), tmp_path)
    assert (error.value.reason, error.value.subject) == (Reason.CORRUPT, weights)


def test_a_step_without_a_model(storage_root: str) -> None:
    uri = write_result(storage.join(storage_root, "scan"), "scan-corpus", {"shard.jsonl": b""})
    with pytest.raises(InputRejected, match="scan-corpus") as error:
        models.resolve(uri)
    assert error.value.reason is Reason.MODEL_NOT_FOUND


@pytest.mark.parametrize("uri", ["/no/such/folder", "file:///no/such/folder", "no-such-owner/no-such-model"])
def test_models_that_do_not_exist(uri: str) -> None:
    with pytest.raises(InputRejected) as error:
        models.resolve(uri)
    assert error.value.reason is Reason.MODEL_NOT_FOUND
    assert error.value.next_step


@pytest.mark.parametrize("uri", ["", "models:/name", "models:/a/b/c", "a b", "http://somewhere/model"])
def test_invalid_model_uris(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////no/such/mlflow.db")
    with pytest.raises(Misconfigured):
        models.resolve(uri)


def test_no_registry_and_an_unreachable_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_REGISTRY_URI", raising=False)
    with pytest.raises(Misconfigured, match="MLFLOW_TRACKING_URI"):
        models.resolve("models:/acoustic-model@champion")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # the discard port: nobody listens
    with pytest.raises(StepError, match="does not answer"):
        models.resolve("models:/acoustic-model@champion")


def test_a_registry_that_refuses_the_host_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow does for names that are not in --allowed-hosts: a retry does not help."""

    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(403, "Invalid Host header - possible DNS rebinding attack detected")

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
        with pytest.raises(Misconfigured, match="--allowed-hosts"):
            models.resolve("models:/acoustic-model@champion")
        server.shutdown()


# ---- MLflow's registry ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A registry in SQLite with two versions, laid out as `mlflow.pyfunc` logs a model with an artifact folder."""
    from mlflow import MlflowClient

    home = tmp_path_factory.mktemp("mlflow")
    uri = f"sqlite:///{home}/mlflow.db"
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    client.create_registered_model("acoustic-model")
    for version in (1, 2):
        logged = folder(home / f"m-{version}", {"artifacts/weights-1/model.safetensors": b"%d" % version})
        (logged / "MLmodel").write_text(
            "flavors:\n  python_function:\n    artifacts:\n      model:\n        path: artifacts/weights-1\n"
        )
        tags = {DIGEST_TAG: content_digest(logged / "artifacts" / "weights-1")} if version == 2 else {}
        client.create_model_version("acoustic-model", source=logged.as_uri(), tags=tags)
    client.set_registered_model_alias("acoustic-model", "champion", "2")
    return uri


@pytest.fixture(scope="module")
def server(registry: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """MLflow's own server over the same registry."""
    from werkzeug.serving import make_server

    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("_MLFLOW_SERVER_FILE_STORE", registry)
        environment.setenv("_MLFLOW_SERVER_REGISTRY_STORE", registry)
        environment.setenv("_MLFLOW_SERVER_ARTIFACT_ROOT", tmp_path_factory.mktemp("artifacts").as_uri())
        environment.setenv("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
        from mlflow.server import app

        http = make_server("127.0.0.1", 0, app, threaded=True)
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


@pytest.fixture(params=["sqlite", "server", "other store"])
def tracking(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same registry over HTTP, and as a store through MLflow's client."""
    uri = request.getfixturevalue("server" if request.param == "server" else "registry")
    if request.param == "other store":
        uri = uri.replace("sqlite://", "sqlite+pysqlite://")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.delenv("MLFLOW_REGISTRY_URI", raising=False)  # MLflow leaves it behind in a process
    return uri


@pytest.mark.slow  # imports MLflow and its server
def test_an_alias_is_a_version_until_it_moves(tracking: str, tmp_path: Path) -> None:
    champion = models.resolve("models:/acoustic-model@champion")
    assert champion.uri == "models:/acoustic-model/2"
    assert champion.version == "acoustic-model/2"
    assert models.resolve("models:/acoustic-model/2") == champion
    assert models.resolve("models:/acoustic-model/1").digest != champion.digest
    place = models.fetch(champion, tmp_path)
    assert content(place) == {"model.safetensors": b"2"}


@pytest.mark.slow
def test_a_version_with_other_bytes_than_registered(tracking: str, tmp_path: Path) -> None:
    champion = models.resolve("models:/acoustic-model@champion")
    weights = models.fetch(champion, tmp_path) / "model.safetensors"
    weights.write_bytes(b"3")
    try:
        with pytest.raises(InputRejected, match=r"models:/acoustic-model/2 .*tag model_digest") as error:
            models.fetch(champion, tmp_path)
        assert error.value.reason is Reason.CORRUPT
    finally:
        weights.write_bytes(b"2")
    assert models.fetch(models.resolve("models:/acoustic-model/1"), tmp_path)  # registered without a digest


@pytest.mark.slow
@pytest.mark.parametrize("uri", ["models:/acoustic-model@nobody", "models:/acoustic-model/9", "models:/other@champion"])
def test_names_aliases_and_versions_that_do_not_exist(tracking: str, uri: str) -> None:
    with pytest.raises(InputRejected) as error:
        models.resolve(uri)
    assert error.value.reason is Reason.MODEL_NOT_FOUND
    assert error.value.subject == uri
    assert "finetune_acoustic_model" in error.value.next_step


def test_a_database_that_does_not_exist_is_not_created(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.delenv("MLFLOW_REGISTRY_URI", raising=False)
    with pytest.raises(InputRejected) as error:
        models.resolve("models:/acoustic-model@champion")
    assert error.value.reason is Reason.MODEL_NOT_FOUND
    assert not list(tmp_path.iterdir())


def test_looking_up_a_model_on_a_server_imports_nothing_heavy() -> None:
    class Empty(BaseHTTPRequestHandler):
        """A registry without models, as MLflow answers."""

        def do_GET(self) -> None:
            self.send_response(404)
            self.end_headers()
            self.wfile.write(b'{"error_code": "RESOURCE_DOES_NOT_EXIST"}')

        def log_message(self, *_: object) -> None: ...

    program = (
        "import sys; from tasks import models\n"
        "try: models.resolve('models:/acoustic-model@champion')\n"
        "except Exception as error: assert error.reason == 'model_not_found', error\n"
        "print(sorted({'mlflow', 'torch', 'transformers', 'numpy'} & set(sys.modules)))"
    )
    with HTTPServer(("127.0.0.1", 0), Empty) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        environment = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{server.server_port}", "PATH": ""}
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        server.shutdown()
    assert done.stdout.strip() == "[]"
