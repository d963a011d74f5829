"""The workflows: pinned actions, minimal permissions, no secrets in commands.

`actionlint` and `zizmor` check them too where they are installed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from tests.k8s.manifests import CHECKOUT

FOLDER = CHECKOUT / ".github" / "workflows"
NAMES = sorted(path.name for path in FOLDER.glob("*.yaml"))
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")
BAKE = CHECKOUT / "images" / "docker-bake.hcl"


def workflow(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((FOLDER / name).read_text()))


def steps(name: str) -> list[dict[str, Any]]:
    return [step for job in workflow(name)["jobs"].values() for step in job["steps"]]


def test_there_are_three_workflows() -> None:
    assert NAMES == ["images.yaml", "release.yaml", "test.yaml"]


@pytest.mark.parametrize("name", NAMES)
def test_every_action_is_pinned_by_commit_with_its_version_in_a_comment(name: str) -> None:
    lines = [line for line in (FOLDER / name).read_text().splitlines() if "uses:" in line]
    assert lines
    for line in lines:
        action, _, comment = line.partition("uses:")[2].partition("#")
        assert PINNED.fullmatch(action.strip()), line
        assert re.fullmatch(r"\s*v\d+\.\d+\.\d+", comment), line


def test_an_action_has_the_same_commit_everywhere() -> None:
    used = {step["uses"] for name in NAMES for step in steps(name) if "uses" in step}
    assert len({action.partition("@")[0] for action in used}) == len(used)


@pytest.mark.parametrize("name", NAMES)
def test_permissions_are_minimal(name: str) -> None:
    found = workflow(name)
    assert found["permissions"] == {"contents": "read"}
    more = {job: given for job, given in ((j, d.get("permissions")) for j, d in found["jobs"].items()) if given}
    assert more == ({"publish": {"contents": "write", "id-token": "write"}} if name == "release.yaml" else {})
    for job in found["jobs"].values():
        assert job["timeout-minutes"] <= 120
    for step in steps(name):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("name", NAMES)
def test_commands_are_valid_shell_and_take_outside_values_only_as_variables(name: str) -> None:
    for step in steps(name):
        if "run" in step:
            assert "${{" not in step["run"], "a release's name must not become a command"
            assert "secrets" not in step["run"]
            done = subprocess.run(["bash", "-n"], input=step["run"], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr


def test_only_the_login_uses_secrets() -> None:
    for name in NAMES:
        for step in steps(name):
            if "secrets." in yaml.safe_dump(step):
                assert step["uses"].startswith("docker/login-action@")
                assert set(step["with"]) == {"username", "password"}


def test_all_built_targets_are_in_the_bake_file() -> None:
    targets = set(re.findall(r'^target "([\w-]+)"', BAKE.read_text(), flags=re.MULTILINE))
    assert set(workflow("images.yaml")["jobs"]["build"]["strategy"]["matrix"]["target"]) <= targets
    (loop,) = re.findall(r"for target in ([\w -]+);", (FOLDER / "release.yaml").read_text())
    (default,) = re.findall(r'group "default" \{\s*targets = \[(.*?)\]', BAKE.read_text())
    assert loop.split() == re.findall(r'"([\w-]+)"', default)
    variables = set(re.findall(r'^variable "(\w+)"', BAKE.read_text(), flags=re.MULTILINE))
    assert {"REGISTRY", "REVISION", "VERSION"} <= variables


def test_attestations_are_made_only_where_images_are_pushed() -> None:
    """Docker's own image store cannot keep attestations, so a local build with them would fail."""
    assert "attest" not in re.sub("(?m)^#.*", "", BAKE.read_text())
    makefile = (CHECKOUT / "Makefile").read_text()
    texts = [makefile, *((FOLDER / name).read_text().replace("\\\n", "") for name in ("images.yaml", "release.yaml"))]
    builds = [line for text in texts for line in text.splitlines() if "buildx bake" in line]
    assert len(builds) == 3
    for build in builds:
        assert ("--push" in build) == ("--sbom=true --provenance=mode=max" in build) != ("--load" in build), build


@pytest.mark.parametrize("linter", [["actionlint"], ["zizmor", "--offline", "--quiet"]], ids=lambda words: words[0])
def test_linters_find_nothing(linter: list[str]) -> None:
    if not shutil.which(linter[0]):
        pytest.skip(f"no {linter[0]}")
    done = subprocess.run(
        [*linter, *(str(FOLDER / name) for name in NAMES)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
