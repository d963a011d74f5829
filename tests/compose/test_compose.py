"""docker-compose.yaml without a Docker engine: its rules, its environment, and processes started as it words them."""

from __future__ import annotations

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

import pytest
import yaml
from confluent_kafka.admin import AdminClient

from tasks.contract import from_argv
from tasks.streaming.command import ARGUMENTS
from tasks.streaming.topics import event_topics, live_topics
from tests.compose.stack import CHECKOUT, COMPONENTS, COMPOSE_FILE, EXAMPLE, ONE_SHOTS, compose_command, filled_in

VARIABLE = re.compile(r"(?<!\$)\$\{(?P<name>\w+)(?P<rest>[^}]*)\}")
AIRFLOW = {f"airflow-{name}" for name in ("apiserver", "scheduler", "dag-processor", "triggerer", "init")}
IMAGE = CHECKOUT / "images" / "compose"
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
        image, _, tag = service["image"].partition("@")[0].rpartition(":")
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
    assert all(SECRET.search(line) for line in before if line.endswith("=")), "a setting without a value is no secret"
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
