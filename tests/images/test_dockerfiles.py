"""Static checks of the Dockerfiles. `make images` builds the images, `make test-cluster` runs one."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
DOCKERFILES = [CHECKOUT / "images" / name / "Dockerfile" for name in ("airflow", "mlflow", "worker")]
BAKE = (CHECKOUT / "images" / "docker-bake.hcl").read_text()
DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
name_of = dict(zip(DOCKERFILES, (path.parent.name for path in DOCKERFILES), strict=True)).get


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    every = sorted((CHECKOUT / "images").glob("*/Dockerfile"))
    assert len(every) > len(DOCKERFILES)
    done = subprocess.run([hadolint, *every], capture_output=True, text=True, check=False)
    assert not done.returncode, done.stdout


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=name_of)
def test_the_base_is_an_argument_with_a_digest(dockerfile: Path) -> None:
    lines = dockerfile.read_text().splitlines()
    bases = [line.removeprefix("ARG BASE=") for line in lines if line.startswith("ARG BASE=")]
    assert len(bases) == 1
    assert DIGEST.search(bases[0])
    assert {line for line in lines if line.startswith("FROM")} == {"FROM ${BUILD_BASE} AS build", "FROM ${BASE}"}


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=name_of)
def test_images_do_not_run_as_root_or_need_buildkit(dockerfile: Path) -> None:
    text = dockerfile.read_text()
    assert re.findall(r"^USER (\d+):", text, re.MULTILINE)[-1] == "10001"
    assert "--mount" not in text
    assert "<<" not in text


def test_all_images_are_in_the_bake_file_with_bases_by_digest() -> None:
    assert {f"images/{path.parent.name}/Dockerfile" for path in DOCKERFILES} == set(
        re.findall(r'dockerfile\s+= "(.+)"', BAKE)
    )
    bases = re.findall(r'default = "(docker\.io/.+:.+)"', BAKE)
    assert len(bases) == 2
    assert all(DIGEST.search(base) for base in bases)
    assert all(base in dockerfile.read_text() for dockerfile in DOCKERFILES for base in bases if "python" in base)


def test_what_an_image_copies_is_in_the_build_context() -> None:
    allowed = {
        line.removeprefix("!") for line in (CHECKOUT / ".dockerignore").read_text().splitlines() if line[0] == "!"
    }
    for dockerfile in DOCKERFILES:
        for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile.read_text(), re.MULTILINE):
            for source in map(Path, sources.split()):
                above = [source, *source.parents]
                assert any(path.match(pattern) for path in above for pattern in allowed), f"{dockerfile}: {source}"


def test_the_airflow_image_knows_the_steps_contract_and_what_the_desk_needs() -> None:
    dockerfile = (CHECKOUT / "images" / "airflow" / "Dockerfile").read_text()
    lines = re.findall(r"^COPY (.*) (?:tasks|training)\S*$", dockerfile, re.MULTILINE)
    copied = {path for line in lines for path in line.split()}
    rooms = ("contract", "desk", "kafka", "pages", "publishing", "reporting", "storage", "transcripts")
    assert copied == {"tasks/__init__.py", "tasks/collector.py", *(f"tasks/{room}" for room in rooms)}


def test_the_desk_loads_without_torch_and_without_the_rooms_of_the_worker() -> None:
    script = """
import sys
import tasks.desk.programmes, tasks.desk.reviews, tasks.desk.index, tasks.desk.nights
import tasks.storage.s3, rapidfuzz.distance
loaded = {name.split(".")[1] for name in sys.modules if name.startswith("tasks.")}
rooms = {"contract", "desk", "kafka", "pages", "publishing", "reporting", "storage", "transcripts"}
assert loaded <= {"collector", *rooms}, loaded
assert not {"torch", "numpy", "av", "pyarrow", "transformers"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], cwd=CHECKOUT, check=True)


@pytest.mark.parametrize("image", ["airflow", "mlflow", "worker"])
def test_packages_are_those_of_the_constraints_with_hashes(image: str) -> None:
    folder = CHECKOUT / "images" / image
    assert "--require-hashes --no-deps" in (folder / "Dockerfile").read_text()
    entries = re.split(r"\n(?=\S)", (folder / "requirements.txt").read_text().strip())
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", entry) for entry in entries)
    locked = dict(entry.split(maxsplit=1)[0].split("==") for entry in entries)
    constraints = dict(re.findall(r"(?m)^([\w.-]+)==(\S+)$", (CHECKOUT / "constraints.txt").read_text()))
    assert {name: constraints.get(name, version) for name, version in locked.items()} == locked, "run images/lock.py"


def test_the_workers_list_has_what_the_project_asks_for() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["worker"]]
    names = {re.split(r"[\[=<>]", wish)[0].replace(".", "-") for wish in wanted}
    locked = {line.split("==")[0] for line in (CHECKOUT / "images/worker/requirements.txt").read_text().splitlines()}
    assert names - locked == {"torch", "torchaudio"}
