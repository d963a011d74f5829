"""The manifests render, are valid, and contain everything that step pods refer to."""

from __future__ import annotations

import shutil
from ipaddress import ip_network

import kubernetes_validate
import pytest
import yaml

from dags.common.profiles import CAPACITY_LABEL, PLACEMENTS, pod_profiles
from tests.k8s.manifests import CUSTOM, K8S, OVERLAYS, Manifest, in_namespace, of_kind, rendered

# The versions of the golden pods and of the runbook's cluster.
KUBERNETES = ("1.34", str(yaml.safe_load((K8S / "eks" / "cluster.yaml").read_text())["metadata"]["version"]))

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl on this machine")


@pytest.fixture(scope="module")
def aws() -> list[Manifest]:
    return rendered("overlays/aws")


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("overlay", [*OVERLAYS, "overlays/aws-channel"])
def test_every_object_is_valid(overlay: str, version: str) -> None:
    for document in rendered(overlay):
        if document["kind"] not in CUSTOM:
            kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_secret_is_in_git(overlay: str) -> None:
    assert not of_kind(rendered(overlay), "Secret")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_namespace_is_created(overlay: str) -> None:
    documents = rendered(overlay)
    used = {document["metadata"].get("namespace") for document in documents} - {None}
    assert used <= set(of_kind(documents, "Namespace"))


def test_the_objects_that_pods_refer_to_exist(aws: list[Manifest]) -> None:
    accounts, classes = in_namespace(aws, "ServiceAccount", "airscript-jobs"), of_kind(aws, "PriorityClass")
    for placement in PLACEMENTS.values():
        account = accounts[placement.service_account]
        assert account["metadata"]["annotations"]["eks.amazonaws.com/role-arn"].endswith(placement.service_account)
    assert {profile.priority_class for profile in pod_profiles().values()} == set(classes)


@pytest.mark.parametrize("profile", sorted(pod_profiles()))
def test_exactly_one_node_pool_fits_each_profile(aws: list[Manifest], profile: str) -> None:
    """It has the labels that the pod selects, and only taints that the pod tolerates."""
    asked = pod_profiles()[profile]
    fitting = []
    for pool in of_kind(aws, "NodePool").values():
        template = pool["spec"]["template"]
        capacities = {r["key"]: r["values"] for r in template["spec"]["requirements"]}[CAPACITY_LABEL]
        taints = {taint["key"] for taint in template["spec"].get("taints", ())}
        labels = {CAPACITY_LABEL: asked.node_selector[CAPACITY_LABEL], **template["metadata"]["labels"]}
        if (
            asked.node_selector.items() <= labels.items()
            and asked.node_selector[CAPACITY_LABEL] in capacities
            and taints <= {toleration["key"] for toleration in asked.tolerations}
        ):
            fitting.append(pool["metadata"]["name"])
    assert len(fitting) == 1, fitting
    kind = "gpu-train" if asked.large_gpu else "gpu" if asked.gpus else "cpu"
    assert fitting[0] == (f"airscript-{kind}-{'spot' if asked.spot else 'ondemand'}" if asked.gpus else "airscript-cpu")


def test_only_aws_interrupts_a_training_pod(aws: list[Manifest]) -> None:
    """A termination grace period of its node would override its annotation do-not-disrupt (tests/dags/golden)."""
    for name, pool in of_kind(aws, "NodePool").items():
        assert "terminationGracePeriod" not in pool["spec"]["template"]["spec"], name
        assert pool["spec"]["disruption"]["consolidationPolicy"] == "WhenEmpty", name


def test_scratch_is_on_the_nodes_local_disks(aws: list[Manifest]) -> None:
    """The kubelet's folder, and with it every emptyDir, is on NVMe if the instance has any."""
    (node_class,) = of_kind(aws, "EC2NodeClass").values()
    assert node_class["spec"]["instanceStorePolicy"] == "RAID0"


def test_job_pods_are_restricted_and_isolated(aws: list[Manifest]) -> None:
    labels = of_kind(aws, "Namespace")["airscript-jobs"]["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    policies = in_namespace(aws, "NetworkPolicy", "airscript-jobs")
    assert policies["deny-all"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for policy in policies.values():
        assert "ingress" not in policy["spec"], "nothing may reach a step"


@pytest.mark.parametrize("overlay", ["overlays/aws", "overlays/aws-live", "overlays/aws-channel"])
def test_no_pod_can_reach_the_credentials_of_its_node(overlay: str) -> None:
    metadata = ip_network("169.254.0.0/16")
    for policy in of_kind(rendered(overlay), "NetworkPolicy").values():
        for rule in policy["spec"].get("egress", ()):
            assert rule.get("to"), "a rule without peers allows everything"
            for block in [peer["ipBlock"] for peer in rule["to"] if "ipBlock" in peer]:
                assert rule["ports"]
                if ip_network(block["cidr"]).overlaps(metadata):
                    assert str(metadata) in block["except"]


def test_mlflow_allows_the_hosts_by_which_it_is_called(aws: list[Manifest]) -> None:
    """Since 3.5 it rejects other hosts, and its defaults have only localhost and private addresses."""
    from mlflow.server.security_utils import get_default_allowed_hosts, is_allowed_host_header

    (container,) = of_kind(aws, "Deployment")["mlflow"]["spec"]["template"]["spec"]["containers"]
    environment = {variable["name"]: variable.get("value") for variable in container["env"]}
    allowed = environment["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")
    for host in ("mlflow.airscript.svc:5000", "mlflow.airscript.svc.cluster.local:5000", "localhost:5000"):
        assert is_allowed_host_header(allowed, host), host
    assert not is_allowed_host_header(get_default_allowed_hosts(), "mlflow.airscript.svc:5000")
    assert not is_allowed_host_header(allowed, "elsewhere.example")


def test_roles_are_limited_to_pods_of_the_jobs_namespace(aws: list[Manifest]) -> None:
    assert not of_kind(aws, "ClusterRole")
    for role in of_kind(aws, "Role").values():
        assert role["metadata"]["namespace"] == "airscript-jobs"
        for rule in role["rules"]:
            assert set(rule["resources"]) <= {"pods", "pods/log", "events"}
            assert "*" not in rule["verbs"]
