"""The rights of Airflow's two service accounts are minimal: each of them is needed."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from dags.common.profiles import PLACEMENTS
from tests.cluster.installation import CHECKOUT, JOBS, Platform, apply, kubectl

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
    """The role without one right."""
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


def life_cycle_errors(platform: Platform) -> list[str]:
    """Run `pod_lives`; returns its errors, including those in the tasks' logs."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.cluster.pod_lives", str(platform.installation.home)],
        env=platform.installation.environment(),
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    output = done.stdout + done.stderr
    errors = [line for line in output.splitlines() if "orbidden" in line or "not permit" in line]
    if done.returncode:
        errors.append(output)
    if "step failed" not in output:
        errors.append("the log of a pod is not in its task's log")
    if "registry.invalid" not in output:
        errors.append("the events of a pod that does not start are not in its task's log")
    return errors


def test_the_rights_are_sufficient(platform: Platform, rights: None) -> None:
    assert life_cycle_errors(platform) == []


@pytest.mark.parametrize(("role", "resource", "verb"), RIGHTS)
def test_every_right_is_needed(platform: Platform, rights: None, role: str, resource: str, verb: str) -> None:
    apply([without(ROLES[role], resource, verb)])
    assert life_cycle_errors(platform) != [], f"{role} does not need {verb} on {resource}: remove it"


@pytest.mark.parametrize("account", sorted({placement.service_account for placement in PLACEMENTS.values()}))
def test_a_step_has_no_rights(cluster: None, account: str) -> None:
    who = f"--as=system:serviceaccount:{JOBS}:{account}"
    for verb, resource in (("get", "pods"), ("create", "pods"), ("get", "secrets"), ("list", "configmaps")):
        assert kubectl("auth", "can-i", verb, resource, who, "--namespace", JOBS, check=False).strip() == "no"
