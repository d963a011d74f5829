"""docker-compose.yaml: what can be read in it, and (`make test-compose`) a night through it."""

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

from tests.compose.stack import CHECKOUT, COMPOSE_FILE, EXAMPLE, SWITCH, Stack, compose_command, filled_in

VARIABLE = re.compile(r"(?<!\$)\$\{(?P<name>\w+)(?P<rest>[^}]*)\}")
ONE_SHOTS = {"airflow-init", "s3-bucket", "kafka-topics"}
AIRFLOW = {f"airflow-{name}" for name in ("apiserver", "scheduler", "dag-processor", "triggerer", "init")}
IMAGE = CHECKOUT / "images" / "compose"
SECRET = re.compile(r"PASSWORD|SECRET|FERNET")

Service = dict[str, Any]


@pytest.fixture(scope="module")
def services() -> dict[str, Service]:
    return yaml.safe_load(COMPOSE_FILE.read_text())["services"]


@pytest.fixture(scope="module")
def example() -> dict[str, str]:
    """The variables of .env.example, those that are commented out too."""
    lines = re.findall(r"^(?:# )?([A-Z][A-Z0-9_]*)=(.*)$", EXAMPLE.read_text(), re.MULTILINE)
    assert len(lines) == len(dict(lines)), "a name stands there twice"
    return dict(lines)


def test_services_have_their_usual_names(services: dict[str, Service]) -> None:
    assert set(services) >= AIRFLOW | {"postgres", "mlflow"}


def test_nothing_obsolete_and_nothing_that_only_one_tool_knows() -> None:
    """`version` is obsolete in Compose 2, `name` unknown to 1.29."""
    known = {"services", "volumes"}
    assert {key for key in yaml.safe_load(COMPOSE_FILE.read_text()) if not key.startswith("x-")} == known


def test_every_service_is_watched_or_ends(services: dict[str, Service]) -> None:
    for name, service in services.items():
        ends = service["restart"] == "no"
        assert ends == (name in ONE_SHOTS), name
        assert ("healthcheck" in service) != ends, name


def test_services_wait_for_what_they_need(services: dict[str, Service]) -> None:
    for name, service in services.items():
        for needed, how in service.get("depends_on", {}).items():
            ends = needed in ONE_SHOTS
            assert how == {"condition": "service_completed_successfully" if ends else "service_healthy"}, (name, needed)
            assert services[needed].get("profiles", []) == service.get("profiles", []), (name, needed)


def test_images_have_versions(services: dict[str, Service]) -> None:
    for name, service in services.items():
        image, _, tag = service["image"].rpartition(":")
        assert re.match(r"[0-9]+[.][0-9]+", tag), f"{name}: {service['image']}"
        if image.startswith("docker.io/airscript/"):
            assert tag == version("airscript"), name


def test_kafka_is_a_profile(services: dict[str, Service]) -> None:
    assert {name for name, service in services.items() if service.get("profiles") == ["kafka"]} == {
        "kafka",
        "kafka-topics",
    }


def test_topics_are_those_of_the_cluster(services: dict[str, Service]) -> None:
    """Compared as text: each name in the manifest stands in the command."""
    manifest = yaml.safe_load_all((CHECKOUT / "k8s" / "kafka" / "topics.yaml").read_text())
    topics = {document["metadata"]["name"] for document in manifest}
    (loop,) = re.findall(r"for topic in (.*);", services["kafka-topics"]["command"][-1])
    assert set(loop.split()) == topics


def test_ports_are_open_on_this_machine_only(services: dict[str, Service]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports), ports


def test_ours_have_no_rights(services: dict[str, Service]) -> None:
    for name, service in services.items():
        assert service["security_opt"] == ["no-new-privileges:true"], name
        if "/airscript/" in service["image"]:
            assert service["cap_drop"] == ["ALL"], name
        assert not {"privileged", "network_mode", "pid", "devices"} & set(service), name
        assert "docker.sock" not in str(service), name


def test_volumes_are_named_or_of_the_repository(services: dict[str, Service]) -> None:
    named = yaml.safe_load(COMPOSE_FILE.read_text())["volumes"]
    for service in services.values():
        for volume in service.get("volumes", []):
            source, _, rest = volume.partition(":")
            if source.startswith("./"):
                assert (CHECKOUT / source).is_file(), volume
                assert rest.endswith(":ro"), volume
            else:
                assert source in named, volume


def test_no_secret_stands_in_the_file(services: dict[str, Service]) -> None:
    """Each is asked for, and there is no default."""
    for name, service in services.items():
        for key, value in service.get("environment", {}).items():
            if SECRET.search(key) and not key.endswith("_FILE"):
                (asked,) = VARIABLE.finditer(str(value))
                assert asked["rest"].startswith(":?"), f"{name}: {key}={value}"
    # Nor inside an address.
    assert not re.search(r"://[^/\s$]*:[^/\s$]+@", COMPOSE_FILE.read_text())


def test_variables_stand_in_the_example(example: dict[str, str]) -> None:
    asked = {match["name"]: match["rest"] for match in VARIABLE.finditer(COMPOSE_FILE.read_text())}
    outside = {"COMPOSE_PROJECT_NAME", "COMPOSE_PROFILES"}
    assert set(asked) == set(example) - outside
    for name, rest in asked.items():
        if SECRET.search(name):
            assert example[name] == "", f"{name}: a secret in .env.example"
        elif rest.startswith(":-") and rest != ":-":
            assert example[name] == rest.removeprefix(":-"), f"{name}: two defaults"


def test_the_commands_of_both_files_agree_and_work(tmp_path: Path) -> None:
    """The line that fills in secrets, as it stands there."""
    (line,) = set(re.findall(r"^#\s+(awk .*)$", EXAMPLE.read_text() + COMPOSE_FILE.read_text(), re.MULTILINE))
    shutil.copy(EXAMPLE, tmp_path)
    subprocess.run(["sh", "-c", line], cwd=tmp_path, check=True)
    before, after = EXAMPLE.read_text().splitlines(), (tmp_path / ".env").read_text().splitlines()
    secrets = [new.removeprefix(old) for old, new in zip(before, after, strict=True) if old != new]
    assert len(secrets) == sum(line.endswith("=") for line in before) > 5
    assert len(set(secrets)) == len(secrets)
    assert all(re.fullmatch(r"[\w-]{43}=", secret) for secret in secrets), "a Fernet key, and safe in an address"


def test_hadolint_has_nothing_to_say() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        pytest.skip("no hadolint in this environment")
    done = subprocess.run([hadolint, IMAGE / "Dockerfile"], capture_output=True, text=True, check=False)
    assert not done.returncode, done.stdout


def test_the_schedulers_image_is_made_of_ours() -> None:
    bases = re.findall(r"^ARG \w+=(.+)$", (IMAGE / "Dockerfile").read_text(), re.MULTILINE)
    assert bases == [f"docker.io/airscript/{name}:{version('airscript')}" for name in ("airflow", "worker-cpu")]


def test_the_worker_finds_the_environment_of_its_own_image() -> None:
    """What the worker's image sets, the wrapper around its interpreter sets too."""
    dockerfile = (CHECKOUT / "images" / "worker" / "Dockerfile").read_text().replace("\\\n", " ")
    (line,) = re.findall(r"^ENV (PATH=/opt/venv.*PYTHONPATH.*HOME=/scratch.*)$", dockerfile, re.MULTILINE)
    theirs = dict(pair.split("=", 1) for pair in line.split())
    of_both_images = {"PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "AIRSCRIPT_CODE_VERSION"}
    exports = re.findall(r"^export (.*)$", (IMAGE / "worker-python").read_text(), re.MULTILINE)
    ours = dict(pair.split("=", 1) for pair in " ".join(exports).replace('"', "").split())
    moved = {name: value.replace("/opt/", "/opt/worker/") for name, value in theirs.items()}
    assert ours == {name: value for name, value in moved.items() if name not in of_both_images}


def test_compose_takes_the_file(tmp_path: Path) -> None:
    if (compose := compose_command()) is None:
        pytest.skip("neither docker compose nor docker-compose on this machine")
    (tmp_path / ".env").write_text(filled_in({}))
    command = [*compose, "--project-directory", str(CHECKOUT), "--env-file", str(tmp_path / ".env")]
    for files in ([], ["--file", str(CHECKOUT / "tests" / "compose" / "override.yaml")]):
        checked = subprocess.run(
            [*command, "--profile", "kafka", "--file", str(COMPOSE_FILE), *files, "config", "--quiet"],
            capture_output=True,
            text=True,
        )
        assert checked.returncode == 0, checked.stderr


@pytest.fixture
def careless_s3(s3_endpoint: str) -> Iterator[str]:
    """The same server without ears for `If-None-Match`."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    careful = DomainDispatcherApplication(create_backend_app)

    def careless(environ: dict[str, Any], start_response: Any) -> Any:
        environ.pop("HTTP_IF_NONE_MATCH", None)
        return careful(environ, start_response)

    server = make_server("127.0.0.1", 0, careless, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()


def prepare_bucket(endpoint: str) -> tuple[int, str]:
    """Exit code and word of the service `s3-bucket`."""
    done = subprocess.run(
        [sys.executable, str(IMAGE / "bucket.py")],
        env={**os.environ, "BUCKET": "speech", "AWS_ENDPOINT_URL": endpoint, "NO_PROXY": "127.0.0.1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout.strip() or done.stderr


def test_a_bucket_where_two_writers_win_is_refused(s3_endpoint: str, careless_s3: str) -> None:
    assert prepare_bucket(s3_endpoint) == (0, "bucket speech: 1 of 8 writers at once won, none afterwards")
    assert prepare_bucket(s3_endpoint)[0] == 0, "a second time, when the bucket is there"
    assert prepare_bucket(careless_s3) == (1, "bucket speech: 8 of 8 writers at once won, one afterwards")


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
"""Registers a model as it lies in the image. Runs in the stack: artifacts go through MLflow's server to S3."""


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
    there = Stack.prepare(tmp_path_factory.mktemp("compose"))
    try:
        there.up()
        yield there
    finally:
        there.down()


@pytest.fixture(scope="module")
def programmes(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three of the demo's channel, uploaded to the inbox, and beside them a file that is no media."""
    folder = tmp_path_factory.mktemp("channel")
    places = [f"--{name}={folder / name}" for name in ("archive", "inbox", "references")]
    subprocess.run([sys.executable, "-m", "local.demo.synthesis", *places, "--minutes=4"], cwd=CHECKOUT, check=True)
    names = ("headlines-noon", "weather.", "morning-news")
    files = sorted(path for path in (folder / "inbox").iterdir() if any(name in path.name for name in names))
    assert len(files) == 3
    stack.upload([*files, *(folder / "inbox").glob("*late-film*")], "inbox")
    return files


@whole_stack
@pytest.mark.timeout(1800)
class TestWholeStack:
    def test_all_is_healthy(self, stack: Stack) -> None:
        states = stack.states()
        assert {name for name, state in states.items() if state == "exited 0"} == ONE_SHOTS - {"kafka-topics"}
        assert {name for name, state in states.items() if state == "healthy"} == set(states) - ONE_SHOTS

    def test_who_has_no_password_stays_outside(self, stack: Stack) -> None:
        with httpx.Client(base_url=stack.address.airflow_url, trust_env=False, timeout=30) as browser:
            assert "<title>" in browser.get("/").text
            assert browser.get("/api/v2/dags").status_code == 401
            wrong = browser.post("/auth/token", json={"username": "admin", "password": "admin"})
            assert wrong.status_code == 401

    def test_dags_are_there(self, stack: Stack) -> None:
        assert not stack.api.import_errors()
        assert stack.api.dag_ids() >= {"corpus_features", "finetune_acoustic_model", "nightly_transcription"}

    def test_the_worker_knows_no_airflow(self, stack: Stack) -> None:
        found = stack.worker(
            "import importlib.util as i; print(bool(i.find_spec('airflow')), bool(i.find_spec('torch')))"
        )
        assert found.split() == ["False", "True"]

    def test_mlflow_gives_back_what_it_got(self, stack: Stack) -> None:
        """A packed file too: on its way from S3 the client may unpack it, because its name says so."""
        assert stack.worker(ROUND_TRIP).strip() == "True"

    def test_a_night(self, stack: Stack, programmes: list[Path]) -> None:
        """By the champion of MLflow's registry: its record comes from PostgreSQL, its weights from S3."""
        stack.worker(REGISTER, "/opt/worker/airscript/local/demo/base_model/weights")
        stack.api.unpause("nightly_transcription")
        run = stack.follow(stack.api.trigger("nightly_transcription", {"batches": 2}))
        assert run.state == "success", stack.told(run)

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
        (refused,) = stack.keys("transcripts/_quarantine/")
        assert "late-film" in refused

    def test_a_second_night_has_nothing_to_do(self, stack: Stack, programmes: list[Path]) -> None:
        before = stack.keys("transcripts/2026")
        run = stack.follow(stack.api.trigger("nightly_transcription", {"batches": 2}))
        assert run.state == "success", stack.told(run)
        assert stack.keys("transcripts/2026") == before
        assert {task.state for task in stack.api.task_instances(run) if task.task_id.startswith("batch.")} <= {
            "skipped"
        }
