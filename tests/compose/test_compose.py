"""docker-compose.yaml: static checks, and (`make test-compose`) a night with the whole stack."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from confluent_kafka.admin import AdminClient

from tasks.contract import from_argv
from tasks.streaming.command import ARGUMENTS
from tasks.streaming.topics import event_topics, live_topics
from tests.compose.stack import CHECKOUT, COMPOSE_FILE, EXAMPLE, SWITCH, Stack, compose_command, filled_in

VARIABLE = re.compile(r"(?<!\$)\$\{(?P<name>\w+)(?P<rest>[^}]*)\}")
ONE_SHOTS = {"airflow-init", "s3-bucket", "s3-certificate", "kafka-topics"}
AIRFLOW = {f"airflow-{name}" for name in ("apiserver", "scheduler", "dag-processor", "triggerer", "init")}
IMAGE = CHECKOUT / "images" / "compose"
COMPONENTS = ("prepare", "features", "diarize", "recognise", "captions")
SECRET = re.compile(r"PASSWORD|SECRET|FERNET")

Service = dict[str, Any]


@pytest.fixture(scope="module")
def services() -> dict[str, Service]:
    return yaml.safe_load(COMPOSE_FILE.read_text())["services"]


@pytest.fixture(scope="module")
def example() -> dict[str, str]:
    """The variables of .env.example, including those that are commented out."""
    lines = re.findall(r"^(?:# )?([A-Z][A-Z0-9_]*)=(.*)$", EXAMPLE.read_text(), re.MULTILINE)
    assert len(lines) == len(dict(lines)), "duplicate name"
    return dict(lines)


def test_services_have_their_usual_names(services: dict[str, Service]) -> None:
    assert set(services) >= AIRFLOW | {"postgres", "mlflow"}


def test_the_file_works_with_both_versions_of_compose() -> None:
    """`version` is obsolete in Compose 2, `name` unknown to 1.29."""
    known = {"services", "volumes"}
    assert {key for key in yaml.safe_load(COMPOSE_FILE.read_text()) if not key.startswith("x-")} == known


def test_every_service_has_a_health_check_or_ends(services: dict[str, Service]) -> None:
    for name, service in services.items():
        ends = service["restart"] == "no"
        assert ends == (name in ONE_SHOTS), name
        assert ("healthcheck" in service) != ends, name


def test_services_wait_for_their_dependencies(services: dict[str, Service]) -> None:
    for name, service in services.items():
        for needed, how in service.get("depends_on", {}).items():
            ends = needed in ONE_SHOTS
            assert how == {"condition": "service_completed_successfully" if ends else "service_healthy"}, (name, needed)
            profiles = services[needed].get("profiles", [])
            assert not profiles or set(service["profiles"]) <= set(profiles), (name, needed)


def test_images_have_versions(services: dict[str, Service]) -> None:
    for name, service in services.items():
        image, _, tag = service["image"].rpartition(":")
        assert re.match(r"[0-9]+[.][0-9]+", tag), f"{name}: {service['image']}"
        if image.startswith("docker.io/airscript/"):
            assert tag == version("airscript"), name


def test_kafka_and_live_captions_are_profiles(services: dict[str, Service]) -> None:
    profiles: dict[str, set[str]] = {}
    for name, service in services.items():
        for profile in service.get("profiles", []):
            profiles.setdefault(profile, set()).add(name)
    kafka = {"kafka", "kafka-topics"}
    assert profiles == {"kafka": kafka, "live": kafka | {f"live-{component}" for component in COMPONENTS}}


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_live_worker_has_arguments_of_its_component(services: dict[str, Service], component: str) -> None:
    module, package, command, name, *flags = services[f"live-{component}"]["command"]
    assert (module, package, command, name) == ("-m", "tasks", "stream", component)
    plain = [VARIABLE.sub(lambda found: found["rest"].removeprefix(":-"), flag) for flag in flags]
    assert from_argv(ARGUMENTS[component], plain, prog="stream").metrics_port == 9400


def test_topics_are_made_on_a_real_broker(services: dict[str, Service], kafka_broker: str) -> None:
    """The process of `kafka-topics`, started as the file words it: the image's entry point is `python`."""
    service = services["kafka-topics"]
    assert services["live-captions"]["environment"]["AIRSCRIPT_KAFKA"] == service["environment"]["AIRSCRIPT_KAFKA"]
    environment = {**os.environ, **service["environment"], "AIRSCRIPT_KAFKA": kafka_broker}
    for _ in range(2):
        subprocess.run([sys.executable, *service["command"]], cwd=CHECKOUT, env=environment, check=True)
    made = set(AdminClient({"bootstrap.servers": kafka_broker}).list_topics(timeout=10).topics)
    assert made >= {topic.name for topic in (*event_topics(), *live_topics(8))}


def test_ports_listen_on_localhost_only(services: dict[str, Service]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports), ports


def test_our_services_have_no_capabilities(services: dict[str, Service]) -> None:
    for name, service in services.items():
        assert service["security_opt"] == ["no-new-privileges:true"], name
        if "/airscript/" in service["image"]:
            assert service["cap_drop"] == ["ALL"], name
        assert not {"privileged", "network_mode", "pid", "devices"} & set(service), name
        assert "docker.sock" not in str(service), name


def test_volumes_are_named_or_files_of_the_repository(services: dict[str, Service]) -> None:
    named = yaml.safe_load(COMPOSE_FILE.read_text())["volumes"]
    for service in services.values():
        for volume in service.get("volumes", []):
            source, _, rest = volume.partition(":")
            if source.startswith("./"):
                assert (CHECKOUT / source).is_file(), volume
                assert rest.endswith(":ro"), volume
            else:
                assert source in named, volume


def test_the_file_has_no_secrets(services: dict[str, Service]) -> None:
    """Secrets are required variables without a default."""
    for name, service in services.items():
        for key, value in service.get("environment", {}).items():
            if SECRET.search(key) and not key.endswith("_FILE"):
                (asked,) = VARIABLE.finditer(str(value))
                assert asked["rest"].startswith(":?"), f"{name}: {key}={value}"
    # Nor in a URL.
    assert not re.search(r"://[^/\s$]*:[^/\s$]+@", COMPOSE_FILE.read_text())


def test_variables_are_in_the_example(example: dict[str, str]) -> None:
    asked = {match["name"]: match["rest"] for match in VARIABLE.finditer(COMPOSE_FILE.read_text())}
    outside = {"COMPOSE_PROJECT_NAME", "COMPOSE_PROFILES"}
    assert set(asked) == set(example) - outside
    for name, rest in asked.items():
        if SECRET.search(name):
            assert example[name] == "", f"{name}: a secret in .env.example"
        elif rest.startswith(":-") and rest != ":-":
            assert example[name] == rest.removeprefix(":-"), f"{name}: two defaults"


def test_the_command_that_generates_secrets_is_the_same_in_both_files_and_works(tmp_path: Path) -> None:
    (line,) = set(re.findall(r"^#\s+(awk .*)$", EXAMPLE.read_text() + COMPOSE_FILE.read_text(), re.MULTILINE))
    shutil.copy(EXAMPLE, tmp_path)
    subprocess.run(["sh", "-c", line], cwd=tmp_path, check=True)
    before, after = EXAMPLE.read_text().splitlines(), (tmp_path / ".env").read_text().splitlines()
    secrets = [new.removeprefix(old) for old, new in zip(before, after, strict=True) if old != new]
    assert len(secrets) == sum(line.endswith("=") for line in before) > 5
    assert len(set(secrets)) == len(secrets)
    assert all(re.fullmatch(r"[\w-]{43}=", secret) for secret in secrets), "a Fernet key, and safe in a URL"


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        pytest.skip("no hadolint in this environment")
    done = subprocess.run([hadolint, IMAGE / "Dockerfile"], capture_output=True, text=True, check=False)
    assert not done.returncode, done.stdout


def test_the_schedulers_image_is_built_from_ours() -> None:
    bases = re.findall(r"^ARG \w+=(.+)$", (IMAGE / "Dockerfile").read_text(), re.MULTILINE)
    assert bases == [f"docker.io/airscript/{name}:{version('airscript')}" for name in ("airflow", "worker-cpu")]


def test_the_worker_has_the_environment_of_its_own_image() -> None:
    """The wrapper around the worker's interpreter sets the variables of the worker image."""
    dockerfile = (CHECKOUT / "images" / "worker" / "Dockerfile").read_text().replace("\\\n", " ")
    (line,) = re.findall(r"^ENV (PATH=/opt/venv.*PYTHONPATH.*HOME=/scratch.*)$", dockerfile, re.MULTILINE)
    theirs = dict(pair.split("=", 1) for pair in line.split())
    of_both_images = {"PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "AIRSCRIPT_CODE_VERSION"}
    exports = re.findall(r"^export (.*)$", (IMAGE / "worker-python").read_text(), re.MULTILINE)
    ours = dict(pair.split("=", 1) for pair in " ".join(exports).replace('"', "").split())
    moved = {name: value.replace("/opt/", "/opt/worker/") for name, value in theirs.items()}
    assert ours == {name: value for name, value in moved.items() if name not in of_both_images}


def test_compose_accepts_the_file(tmp_path: Path) -> None:
    if (compose := compose_command()) is None:
        pytest.skip("neither docker compose nor docker-compose on this machine")
    (tmp_path / ".env").write_text(filled_in({}))
    command = [*compose, "--project-directory", str(CHECKOUT), "--env-file", str(tmp_path / ".env")]
    for files in ([], ["--file", str(CHECKOUT / "tests" / "compose" / "override.yaml")]):
        checked = subprocess.run(
            [*command, "--profile", "live", "--file", str(COMPOSE_FILE), *files, "config", "--quiet"],
            capture_output=True,
            text=True,
        )
        assert checked.returncode == 0, checked.stderr


@pytest.fixture
def s3_without_conditional_puts(moto_endpoint: str) -> Iterator[str]:
    """The same server, but it ignores `If-None-Match`."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    moto = DomainDispatcherApplication(create_backend_app)

    def unconditional(environ: dict[str, Any], start_response: Any) -> Any:
        environ.pop("HTTP_IF_NONE_MATCH", None)
        return moto(environ, start_response)

    server = make_server("127.0.0.1", 0, unconditional, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()


def prepare_bucket(endpoint: str) -> tuple[int, str]:
    """Exit code and output of the service `s3-bucket`."""
    done = subprocess.run(
        [sys.executable, str(IMAGE / "bucket.py")],
        env={**os.environ, "BUCKET": "speech", "AWS_ENDPOINT_URL": endpoint, "NO_PROXY": "127.0.0.1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout.strip() or done.stderr


def test_a_server_without_conditional_puts_is_rejected(moto_endpoint: str, s3_without_conditional_puts: str) -> None:
    assert prepare_bucket(moto_endpoint) == (0, "bucket speech: 1 of 8 parallel writers succeeded, none later")
    assert prepare_bucket(moto_endpoint)[0] == 0, "a second time, when the bucket exists"
    assert prepare_bucket(s3_without_conditional_puts) == (
        1,
        "bucket speech: 8 of 8 parallel writers succeeded, one later",
    )


# ---- the whole stack ------------------------------------------------------------------------------------------------

whole_stack = pytest.mark.skipif(not SWITCH, reason="brings up the stack: make test-compose")

REGISTER = """
import sys
from pathlib import Path
from tempfile import mkdtemp

from mlflow import MlflowClient

from training.registry import versions
from training.registry.packaging import pack

client, name = MlflowClient(), "acoustic-model"
run = client.create_run(client.create_experiment("by hand"))
package = pack(Path(sys.argv[1]), {}, {}, Path(mkdtemp()))
made = versions.register(client, name, "0" * 64, package, run.info.run_id, {}, "")
client.set_registered_model_alias(name, versions.CHAMPION, str(made.version))
"""
"""Registers a model of the image. Runs in the stack: artifacts go through MLflow's server to S3."""


ROUND_TRIP = """
import gzip
from pathlib import Path
from tempfile import mkdtemp

from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts

client, file = MlflowClient(), Path(mkdtemp()) / "spelling.json.gz"
file.write_bytes(gzip.compress(b"{}"))
run = client.create_run(client.create_experiment("round trip")).info
client.log_artifact(run.run_id, str(file))
back = download_artifacts(run_id=run.run_id, artifact_path=file.name, dst_path=mkdtemp())
print(Path(back).read_bytes() == file.read_bytes())
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack.prepare(tmp_path_factory.mktemp("compose"))
    try:
        stack.up()
        yield stack
    finally:
        stack.down()


@pytest.fixture(scope="module")
def programmes(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Uploads three programmes of the demo's channel and a file that is not media to the inbox; returns the three."""
    folder = tmp_path_factory.mktemp("channel")
    folders = [f"--{name}={folder / name}" for name in ("archive", "inbox", "references")]
    subprocess.run([sys.executable, "-m", "local.demo.synthesis", *folders, "--minutes=4"], cwd=CHECKOUT, check=True)
    names = ("headlines-noon", "weather.", "morning-news")
    files = sorted(path for path in (folder / "inbox").iterdir() if any(name in path.name for name in names))
    assert len(files) == 3
    stack.upload([*files, *(folder / "inbox").glob("*late-film*")], "inbox")
    return files


@whole_stack
@pytest.mark.timeout(1800)
class TestWholeStack:
    def test_all_services_are_healthy(self, stack: Stack) -> None:
        states = stack.states()
        assert {name for name, state in states.items() if state == "exited 0"} == ONE_SHOTS - {"kafka-topics"}
        assert {name for name, state in states.items() if state == "healthy"} == set(states) - ONE_SHOTS

    def test_the_api_needs_a_password(self, stack: Stack) -> None:
        with httpx.Client(base_url=stack.installation.airflow_url, trust_env=False, timeout=30) as browser:
            assert "<title>" in browser.get("/").text
            assert browser.get("/api/v2/dags").status_code == 401
            wrong = browser.post("/auth/token", json={"username": "admin", "password": "admin"})
            assert wrong.status_code == 401

    def test_dags_are_imported(self, stack: Stack) -> None:
        assert not stack.api.import_errors()
        assert stack.api.dag_ids() >= {"corpus_features", "finetune_acoustic_model", "nightly_transcription"}

    def test_the_worker_has_no_airflow(self, stack: Stack) -> None:
        found = stack.worker(
            "import importlib.util as i; print(bool(i.find_spec('airflow')), bool(i.find_spec('torch')))"
        )
        assert found.split() == ["False", "True"]

    def test_artifacts_round_trip_through_mlflow(self, stack: Stack) -> None:
        """Also a gzip file, which a client may decompress on the way from S3 because of its name."""
        assert stack.worker(ROUND_TRIP).strip() == "True"

    def test_a_night(self, stack: Stack, programmes: list[Path]) -> None:
        """With the champion of MLflow's registry: its record comes from PostgreSQL, its weights from S3."""
        stack.worker(REGISTER, "/opt/worker/airscript/local/demo/base_model/weights")
        stack.api.unpause("nightly_transcription")
        run = stack.follow(stack.api.trigger("nightly_transcription", {"batches": 2}))
        assert run.state == "success", stack.describe(run)

        published = [key for key in stack.keys("transcripts/") if key.endswith("/manifest.json")]
        assert sorted(key.split("/")[1] for key in published) == sorted(path.stem for path in programmes)
        for key in published:
            folder, stem = key.removesuffix("manifest.json"), key.split("/")[1]
            assert json.loads(stack.read(key))["programme"] == stem
            assert "acoustic-model/1" in stack.read(key).decode()
            assert {f"{folder}{stem}.{kind}" for kind in ("txt", "srt", "vtt", "ttml", "json")} <= set(
                stack.keys(folder)
            )
            assert len(stack.read(f"{folder}{stem}.txt").split()) > 50
        (quarantined,) = stack.keys("transcripts/_quarantine/")
        assert "late-film" in quarantined

    def test_a_second_night_has_nothing_to_do(self, stack: Stack, programmes: list[Path]) -> None:
        before = stack.keys("transcripts/2026")
        run = stack.follow(stack.api.trigger("nightly_transcription", {"batches": 2}))
        assert run.state == "success", stack.describe(run)
        assert stack.keys("transcripts/2026") == before
        assert {task.state for task in stack.api.task_instances(run) if task.task_id.startswith("batch.")} <= {
            "skipped"
        }
