"""The rights of Airflow's two accounts are the least that works: what Airflow does with pods needs each of them."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.platform import CHECKOUT, JOBS, Platform, apply, kubectl

ROLES = {
    document["metadata"]["name"]: document
    for document in yaml.safe_load_all((CHECKOUT / "k8s" / "base" / "rbac.yaml").read_text())
    if document["kind"] == "Role"
}
RIGHTS = [
    (name, resource, verb)
    for name, role in sorted(ROLES.items())
    for rule in role["rules"]
    for resource in rule["resources"]
    for verb in rule["verbs"]
]


def without(role: dict[str, Any], resource: str, verb: str) -> dict[str, Any]:
    """The role less one right."""
    less = copy.deepcopy(role)
    for rule in less["rules"]:
        if resource in rule["resources"]:
            rule["verbs"].remove(verb)
    less["rules"] = [rule for rule in less["rules"] if rule["verbs"]]
    return less


@pytest.fixture
def rights(platform: Platform) -> Iterator[None]:
    yield
    apply(list(ROLES.values()))
    kubectl("delete", "pods", "--all", "--namespace", JOBS, "--grace-period=0", "--force")


def live(platform: Platform) -> subprocess.CompletedProcess[str]:
    """Three pods through all that Airflow does with them."""
    return subprocess.run(
        [sys.executable, Path(__file__).with_name("pod_lives.py"), str(platform.laptop.home)],
        env={**platform.laptop.environment(), "PYTHONPATH": str(CHECKOUT)},
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_all_rights_are_enough(platform: Platform, rights: None) -> None:
    done = live(platform)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("role", "resource", "verb"), RIGHTS)
def test_no_right_is_too_many(platform: Platform, rights: None, role: str, resource: str, verb: str) -> None:
    apply([without(ROLES[role], resource, verb)])
    done = live(platform)
    assert done.returncode != 0, f"{role} does without {verb} on {resource}: take it out"


@pytest.mark.parametrize("account", ["airscript-corpus", "airscript-training", "airscript-transcription"])
def test_a_step_has_no_rights_at_all(cluster: None, account: str) -> None:
    who = f"--as=system:serviceaccount:{JOBS}:{account}"
    for verb, resource in (("get", "pods"), ("create", "pods"), ("get", "secrets"), ("list", "configmaps")):
        assert kubectl("auth", "can-i", verb, resource, who, "--namespace", JOBS, check=False).strip() == "no"
