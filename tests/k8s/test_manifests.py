"""The manifests render, are valid, and hold everything that a step's pod asks for."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from dags.common.profiles import CAPACITY_LABEL, GPU_RESOURCE, NODE_LABEL, PLACEMENTS, PROFILES

K8S = Path(__file__).parents[2] / "k8s"
KUBERNETES = "1.34"
OVERLAYS = ("base", "overlays/local", "overlays/aws")
# Kinds of operators that a cluster may have; their schemas are not Kubernetes' own.
CUSTOM = {"EC2NodeClass", "NodePool", "SecretStore", "ExternalSecret"}

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl on this machine")


def rendered(overlay: str) -> list[dict[str, Any]]:
    done = subprocess.run(["kubectl", "kustomize", str(K8S / overlay)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def of_kind(documents: list[dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    return {document["metadata"]["name"]: document for document in documents if document["kind"] == kind}


@pytest.fixture(scope="module")
def aws() -> list[dict[str, Any]]:
    return rendered("overlays/aws")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_object_is_valid(overlay: str) -> None:
    for document in rendered(overlay):
        if document["kind"] not in CUSTOM:
            kubernetes_validate.validate(document, KUBERNETES, strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_secret_lies_in_git(overlay: str) -> None:
    assert not of_kind(rendered(overlay), "Secret")


def test_what_pods_name_exists(aws: list[dict[str, Any]]) -> None:
    accounts, classes = of_kind(aws, "ServiceAccount"), of_kind(aws, "PriorityClass")
    for step, placement in PLACEMENTS.items():
        account = accounts[placement.service_account]
        assert account["metadata"]["namespace"] == "airscript-jobs", step
        assert account["metadata"]["annotations"]["eks.amazonaws.com/role-arn"].endswith(placement.service_account)
    assert {profile.priority_class for profile in PROFILES.values()} == set(classes)


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_a_node_pool_takes_every_profile(aws: list[dict[str, Any]], profile: str) -> None:
    """Its labels are those that the pod selects, and the pod tolerates its taints."""
    asked = PROFILES[profile]
    fitting = []
    for pool in of_kind(aws, "NodePool").values():
        template = pool["spec"]["template"]
        capacities = {r["key"]: r["values"] for r in template["spec"]["requirements"]}[CAPACITY_LABEL]
        taints = {taint["key"] for taint in template["spec"].get("taints", ())}
        if (
            template["metadata"]["labels"][NODE_LABEL] == asked.node_selector[NODE_LABEL]
            and asked.node_selector[CAPACITY_LABEL] in capacities
            and taints <= {toleration["key"] for toleration in asked.tolerations}
        ):
            fitting.append(pool["metadata"]["name"])
    assert len(fitting) == 1, fitting
    assert fitting[0].startswith("airscript-gpu" if asked.gpus else "airscript-cpu")


def test_job_pods_are_restricted_and_alone(aws: list[dict[str, Any]]) -> None:
    labels = of_kind(aws, "Namespace")["airscript-jobs"]["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    policies = of_kind(aws, "NetworkPolicy")
    everything = policies["deny-all"]["spec"]
    assert everything == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for policy in policies.values():
        assert "ingress" not in policy["spec"], "nothing reaches a step"
    (allowed,) = policies["storage"]["spec"]["egress"][0]["to"]
    assert "169.254.0.0/16" in allowed["ipBlock"]["except"], "the node's credentials stay out of reach"


def test_no_role_reaches_beyond_pods_of_the_jobs(aws: list[dict[str, Any]]) -> None:
    assert not of_kind(aws, "ClusterRole")
    for role in of_kind(aws, "Role").values():
        assert role["metadata"]["namespace"] == "airscript-jobs"
        for rule in role["rules"]:
            assert set(rule["resources"]) <= {"pods", "pods/log", "events"}
            assert "*" not in rule["verbs"]


def test_the_quota_has_room_for_every_gpu_of_the_node_pools(aws: list[dict[str, Any]]) -> None:
    hard = of_kind(aws, "ResourceQuota")["airscript-jobs"]["spec"]["hard"]
    pools = of_kind(aws, "NodePool")
    assert int(hard[f"requests.{GPU_RESOURCE}"]) >= int(pools["airscript-gpu-spot"]["spec"]["limits"][GPU_RESOURCE])
