"""Who reaches whom, as Kubernetes evaluates the network policies; they are not enforced by any cluster in our tests.

A pod that policies select in a direction may have only the connections that one of them lists. With the CNI's strict
mode the same holds for pods that none selects: they have no connection at all.
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from dags.common.profiles import MLFLOW_ACCOUNTS, PLACEMENTS
from tests.k8s.manifests import K8S, Manifest, in_namespace, of_kind, rendered

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl on this machine")

ROLES = sorted({placement.role for placement in PLACEMENTS.values()})
DECODING = ("corpus-decoding", "night-decoding")
S3, ELSEWHERE, METADATA = "192.0.2.7", "203.0.113.9", "169.254.169.254"


@dataclass(frozen=True)
class Pod:
    namespace: str
    labels: dict[str, str] = field(default_factory=dict)


DNS = Pod("kube-system", {"k8s-app": "kube-dns"})
MLFLOW = Pod("airscript", {"app.kubernetes.io/name": "mlflow"})
SCHEDULER = Pod("airscript", {"tier": "airflow", "component": "scheduler"})
API_SERVER = Pod("airscript", {"tier": "airflow", "component": "api-server"})
TRIGGERER = Pod("airscript", {"tier": "airflow", "component": "triggerer"})
KAFKA = Pod("airscript-kafka", {"strimzi.io/cluster": "airscript"})


def step(role: str) -> Pod:
    return Pod("airscript-jobs", {"airscript.io/role": role})


def worker(component: str) -> Pod:
    return Pod("airscript-live", {"airscript.io/role": "live", "app.kubernetes.io/component": component})


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items()) and all(
        labels.get(rule["key"]) in rule["values"] for rule in selector.get("matchExpressions", ())
    )


def is_peer(peer: dict[str, Any], namespace: str, other: Pod | str) -> bool:
    """Whether a rule's peer, in a policy of `namespace`, is the other end: a pod, or an address outside."""
    if "ipBlock" in peer:
        if isinstance(other, Pod):  # pods have addresses too, but those of EKS are private
            return False
        address = ip_address(other)
        inside = [ip_network(block) for block in peer["ipBlock"].get("except", ())]
        return address in ip_network(peer["ipBlock"]["cidr"]) and not any(address in block for block in inside)
    if isinstance(other, str):
        return False
    if "namespaceSelector" in peer:
        names = {"kubernetes.io/metadata.name": other.namespace}
        return selects(peer["namespaceSelector"], names) and selects(peer.get("podSelector", {}), other.labels)
    return other.namespace == namespace and selects(peer["podSelector"], other.labels)


def passes(policies: list[Manifest], direction: str, pod: Pod, other: Pod | str, port: int) -> bool:
    """Whether the pod's own policies allow the connection in a direction, in strict mode."""
    kind, side = ("Egress", "to") if direction == "egress" else ("Ingress", "from")
    for policy in policies:
        spec = policy["spec"]
        if policy["metadata"]["namespace"] != pod.namespace or not selects(spec["podSelector"], pod.labels):
            continue
        for rule in spec.get(direction, ()) if kind in spec["policyTypes"] else ():
            right_port = "ports" not in rule or port in [entry["port"] for entry in rule["ports"]]
            if right_port and (side not in rule or any(is_peer(p, pod.namespace, other) for p in rule[side])):
                return True
    return False


def reaches(policies: list[Manifest], source: Pod, target: Pod | str, port: int) -> bool:
    if not passes(policies, "egress", source, target, port):
        return False
    # Kafka's own side is written by Strimzi, DNS is open to everybody.
    if isinstance(target, str) or target in (KAFKA, DNS):
        return True
    return passes(policies, "ingress", target, source, port)


@pytest.fixture(scope="module")
def policies() -> list[Manifest]:
    documents = rendered("overlays/aws-live") + rendered("overlays/aws-channel")
    return [document for document in documents if document["kind"] == "NetworkPolicy"]


@pytest.mark.parametrize("role", ROLES)
def test_a_step_reaches_names_and_storage_and_no_other_host(policies: list[Manifest], role: str) -> None:
    assert reaches(policies, step(role), DNS, 53)
    assert reaches(policies, step(role), S3, 443)
    for address, port in ((ELSEWHERE, 443), (S3, 80), (METADATA, 80), (METADATA, 443), ("10.0.0.1", 443)):
        assert not reaches(policies, step(role), address, port)
    for other in (SCHEDULER, step("transcription"), Pod("default")):
        assert not reaches(policies, step(role), other, 443)
        assert not reaches(policies, other, step(role), 443)


def test_only_roles_with_an_account_reach_mlflow(policies: list[Manifest]) -> None:
    assert {role for role in ROLES if reaches(policies, step(role), MLFLOW, 5000)} == set(MLFLOW_ACCOUNTS)
    assert not set(DECODING) & set(MLFLOW_ACCOUNTS)
    components = ("prepare", "features", "diarize", "recognise", "captions")
    assert {c for c in components if reaches(policies, worker(c), MLFLOW, 5000)} == {"features", "recognise"}
    feeder = Pod("airscript-live", {"airscript.io/role": "feeder", "airscript.io/channel": "channel-one"})
    for other in (SCHEDULER, TRIGGERER, API_SERVER, feeder, Pod("default")):
        assert not reaches(policies, other, MLFLOW, 5000)
    assert passes(policies, "egress", MLFLOW, "10.0.0.1", 5432)


def test_only_roles_with_events_reach_kafka(policies: list[Manifest]) -> None:
    assert {role for role in ROLES if reaches(policies, step(role), KAFKA, 9092)} == {"registry", "transcription"}
    assert reaches(policies, TRIGGERER, KAFKA, 9092)
    assert reaches(policies, API_SERVER, KAFKA, 9092), "the desk tells of reviews"
    assert not reaches(policies, SCHEDULER, KAFKA, 9092)


def test_airflow_reaches_its_own_pods_its_database_and_kubernetes(policies: list[Manifest]) -> None:
    assert reaches(policies, SCHEDULER, TRIGGERER, 8080)
    assert reaches(policies, SCHEDULER, "10.0.0.1", 5432)
    assert reaches(policies, SCHEDULER, "10.0.0.1", 443)
    assert not reaches(policies, SCHEDULER, METADATA, 443)


def test_a_feeder_reaches_kafka_and_public_streams_only(policies: list[Manifest]) -> None:
    feeder = Pod("airscript-live", {"airscript.io/role": "feeder", "airscript.io/channel": "channel-one"})
    assert reaches(policies, feeder, KAFKA, 9092)
    assert reaches(policies, feeder, ELSEWHERE, 443)
    assert not reaches(policies, feeder, METADATA, 80)
    assert not reaches(policies, feeder, "10.0.0.1", 443)
    assert not reaches(policies, worker("prepare"), ELSEWHERE, 443), "the workers' policy is not the feeder's"


def test_every_pod_of_ours_has_a_policy_for_strict_mode() -> None:
    documents = rendered("overlays/aws-live")
    for namespace in of_kind(documents, "Namespace"):
        both = {
            kind
            for policy in in_namespace(documents, "NetworkPolicy", namespace).values()
            if policy["spec"]["podSelector"] == {}
            for kind in policy["spec"]["policyTypes"]
        }
        assert "Egress" in both, namespace
        assert "Ingress" in both or namespace == "airscript-kafka", "Strimzi writes that of Kafka"


def test_strict_mode_is_what_the_runbook_turns_on_after_the_operators_policies() -> None:
    strict = json.loads((K8S / "eks" / "vpc-cni.json").read_text())
    assert strict.pop("env") == {"NETWORK_POLICY_ENFORCING_MODE": "strict"}
    addons = yaml.safe_load((K8S / "eks" / "cluster.yaml").read_text())["addons"]
    (before,) = [addon["configurationValues"] for addon in addons if addon["name"] == "vpc-cni"]
    assert json.loads(before) == strict, "at first without strict mode: CoreDNS would have no policy yet"
    runbook = (K8S.parent / "docs" / "deploy-eks.md").read_text()
    assert 0 < runbook.index("operators-network.yaml") < runbook.index("file://k8s/eks/vpc-cni.json")
    operators = yaml.safe_load((K8S / "eks" / "operators-network.yaml").read_text())
    kubernetes_validate.validate(operators, "1.35", strict=True)
    coredns = {**operators, "metadata": {"name": "operators", "namespace": "kube-system"}}
    assert passes([coredns], "ingress", DNS, step("corpus"), 53)
    assert passes([coredns], "egress", DNS, "10.0.0.2", 53)


# ---- the addresses of S3 and STS -------------------------------------------------------------------------------


@pytest.fixture
def storage_addresses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.syspath_prepend(str(K8S / "eks"))
    import storage_addresses as module

    monkeypatch.setattr(module, "FILES", {name: tmp_path / f"{name}.yaml" for name in module.FILES})
    yield module
    sys.modules.pop("storage_addresses")


def test_addresses_are_written_into_the_policies(storage_addresses: Any) -> None:
    storage_addresses.main(["3.5.134.0/24", "3.5.135.0/24", "192.168.101.7/32"])
    for namespace, path in storage_addresses.FILES.items():
        policy = yaml.safe_load(path.read_text())
        kubernetes_validate.validate(policy, "1.35", strict=True)
        pod = Pod(namespace)
        assert [peer["ipBlock"]["cidr"] for peer in policy["spec"]["egress"][0]["to"]] == [
            "3.5.134.0/23",
            "192.168.101.7/32",
        ]
        assert passes([policy], "egress", pod, "3.5.135.1", 443)
        assert not passes([policy], "egress", pod, "192.168.101.8", 443)


@pytest.mark.parametrize("words", [[], ["0.0.0.0/0"], ["10.0.0.0/8"], ["169.254.169.254/32"], ["s3.amazonaws.com"]])
def test_other_addresses_are_refused(storage_addresses: Any, words: list[str]) -> None:
    with pytest.raises(ValueError, match=r"no addresses|not an address block|Expected 4 octets"):
        storage_addresses.main(words)
    assert not any(path.exists() for path in storage_addresses.FILES.values())


def test_the_files_in_git_are_what_the_script_writes(storage_addresses: Any) -> None:
    storage_addresses.main(["192.0.2.0/24"])
    overlays = {"airscript-jobs": "aws", "airscript-live": "aws-live"}
    for namespace, path in storage_addresses.FILES.items():
        kept = K8S / "overlays" / overlays[namespace] / "storage-addresses.yaml"
        assert path.read_text() == kept.read_text()
