"""The workflows: what they run is pinned, they may do little, and nothing secret is printed.

`actionlint` and `zizmor`, where they are installed, read them too.
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


def test_they_are_the_three() -> None:
    assert NAMES == ["images.yaml", "release.yaml", "test.yaml"]


@pytest.mark.parametrize("name", NAMES)
def test_every_action_is_pinned_by_commit_and_says_its_version(name: str) -> None:
    lines = [line for line in (FOLDER / name).read_text().splitlines() if "uses:" in line]
    assert lines
    for line in lines:
        action, _, comment = line.partition("uses:")[2].partition("#")
        assert PINNED.fullmatch(action.strip()), line
        assert re.fullmatch(r"\s*v\d+\.\d+\.\d+", comment), line


def test_an_action_has_one_commit_everywhere() -> None:
    used = {step["uses"] for name in NAMES for step in steps(name) if "uses" in step}
    assert len({action.partition("@")[0] for action in used}) == len(used)


@pytest.mark.parametrize("name", NAMES)
def test_it_may_do_little(name: str) -> None:
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
def test_commands_are_shell_and_take_nothing_from_outside_but_variables(name: str) -> None:
    for step in steps(name):
        if "run" in step:
            assert "${{" not in step["run"], "a release's name must not become a command"
            assert "secrets" not in step["run"]
            done = subprocess.run(["bash", "-n"], input=step["run"], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr


def test_only_the_login_sees_the_secrets() -> None:
    for name in NAMES:
        for step in steps(name):
            if "secrets." in yaml.safe_dump(step):
                assert step["uses"].startswith("docker/login-action@")
                assert set(step["with"]) == {"username", "password"}


def test_what_is_built_is_in_the_bake_file() -> None:
    targets = set(re.findall(r'^target "([\w-]+)"', BAKE.read_text(), flags=re.MULTILINE))
    assert set(workflow("images.yaml")["jobs"]["build"]["strategy"]["matrix"]["target"]) <= targets
    (loop,) = re.findall(r"for target in ([\w -]+);", (FOLDER / "release.yaml").read_text())
    (default,) = re.findall(r'group "default" \{\s*targets = \[(.*?)\]', BAKE.read_text())
    assert loop.split() == re.findall(r'"([\w-]+)"', default)
    variables = set(re.findall(r'^variable "(\w+)"', BAKE.read_text(), flags=re.MULTILINE))
    assert {"REGISTRY", "REVISION", "VERSION"} <= variables


def test_attestations_are_made_where_images_are_pushed_and_nowhere_else() -> None:
    """Docker's own store takes none, so a build that asks for them stops there."""
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
