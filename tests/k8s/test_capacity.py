"""Profiles, node pools, quotas and Airflow's pools fit each other, on nodes as Kubernetes and Karpenter see them.

A node offers less than its instance has: EKS reserves CPU and memory by its published formulas, Karpenter assumes 7.5 %
of the memory lost to the hypervisor, a tenth of the disk is kept free of pods, and every node runs the same daemons.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass

import pytest
import yaml

from dags.common.profiles import GPU_RESOURCE, PLACEMENTS, Profile, pod_profiles
from tests.k8s.manifests import CHECKOUT, K8S, Manifest, in_namespace, of_kind, rendered

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl on this machine")

GIB_OF_A_CORE = {"m": 4, "r": 8}
"""Memory of an instance category, in GiB for each vCPU."""
GPU_NODES = {"gpu-spot": (4, 16, 250), "gpu-ondemand": (8, 32, 450), "gpu-train-spot": (8, 64, 450)}
"""vCPUs, GiB of memory and GB of NVMe: g6.xlarge, g6.2xlarge, g6e.2xlarge, the smallest for each profile."""
DAEMONS_CPU, DAEMONS_GIB = 0.35, 0.5  # aws-node, kube-proxy, the EBS driver's, CloudWatch's and Fluent Bit's requests
MAX_PODS = 58  # of an instance of 4 or 8 vCPUs
UNITS = {"": 1.0, "m": 1e-3, "Mi": 2.0**-10, "Gi": 1.0, "Ti": 1024.0}
RUNBOOK = (CHECKOUT / "docs" / "deploy-eks.md").read_text()


def quantity(text: str) -> float:
    """Cores, or GiB."""
    number, unit = re.fullmatch(r"([\d.]+)([A-Za-z]*)", str(text)).groups()  # type: ignore[union-attr]
    return float(number) * UNITS[unit]


@dataclass(frozen=True)
class Node:
    """What pods can request of a node."""

    cpu: float
    memory_gib: float
    disk_gib: float

    @classmethod
    def of(cls, cores: int, memory_gib: float, disk_gib: float) -> Node:
        reserved_cpu = 0.06 + 0.01 + 0.005 * min(cores - 2, 2) + 0.0025 * max(cores - 4, 0)
        reserved_gib = (255 + 11 * MAX_PODS + 100) / 1024
        return cls(
            cores - reserved_cpu - DAEMONS_CPU,
            memory_gib * 0.925 - reserved_gib - DAEMONS_GIB,
            disk_gib * 0.9 - 1 - 20,  # 20 GiB for images and logs
        )

    def fits(self, profile: Profile) -> int:
        """How many pods of a profile the node holds."""
        room = (self.cpu, self.memory_gib, self.disk_gib)
        asked = (quantity(profile.cpu), quantity(profile.memory), quantity(profile.scratch))
        return int(min(have / want for have, want in zip(room, asked, strict=True)))


@pytest.fixture(scope="module")
def aws() -> list[Manifest]:
    return rendered("overlays/aws-live")


@pytest.fixture(scope="module")
def slots() -> dict[str, int]:
    """Slots of Airflow's pools, which count deferred tasks: as many pods may exist."""
    script = yaml.safe_load((K8S / "helm" / "airflow.yaml").read_text())["migrateDatabaseJob"]["args"][2]
    return {name: int(n) for name, n in re.findall(r"pools set (\w+) (\d+)", script)}


def requirement(pool: Manifest, key: str) -> list[str]:
    return next(
        list(r["values"])
        for r in pool["spec"]["template"]["spec"]["requirements"]
        if r["key"].rpartition("/")[2] == key
    )


def cpu_nodes(aws: list[Manifest]) -> dict[tuple[str, int], Node]:
    """The nodes of the pool for CPU steps, by category and vCPUs."""
    pool = of_kind(aws, "NodePool")["airscript-cpu"]
    return {
        (category, int(cores)): Node.of(int(cores), int(cores) * GIB_OF_A_CORE[category], disk(aws))
        for category in requirement(pool, "instance-category")
        for cores in requirement(pool, "instance-cpu")
    }


def disk(aws: list[Manifest]) -> float:
    (node_class,) = of_kind(aws, "EC2NodeClass").values()
    return quantity(node_class["spec"]["blockDeviceMappings"][0]["ebs"]["volumeSize"])


def vcpus_for_a_pod(nodes: dict[tuple[str, int], Node], profile: Profile) -> float:
    """vCPUs of nodes for each pod of a profile, when many run: Karpenter takes the cheapest, of the fewest vCPUs."""
    return min(cores / fitting for (_, cores), node in nodes.items() if (fitting := node.fits(profile)))


CPU_PROFILES = sorted(name for name, profile in pod_profiles().items() if not profile.gpus)


@pytest.mark.parametrize("name", CPU_PROFILES)
def test_a_node_of_four_cores_holds_a_pod_of_each_cpu_profile(aws: list[Manifest], name: str) -> None:
    assert any(node.fits(pod_profiles()[name]) for (_, cores), node in cpu_nodes(aws).items() if cores == 4)


@pytest.mark.parametrize("name", sorted(GPU_NODES))
def test_the_smallest_gpu_instance_of_a_profile_holds_its_pod(name: str) -> None:
    cores, memory_gib, nvme_gb = GPU_NODES[name]
    node = Node.of(cores, memory_gib, nvme_gb * 1e9 / 2**30)
    assert node.fits(pod_profiles()[name]) == 1
    if fallback := pod_profiles()[name].on_demand:
        assert quantity(pod_profiles()[fallback].memory) > quantity(pod_profiles()[name].memory)


def test_the_scheduler_counts_scratch(aws: list[Manifest]) -> None:
    """Without the request a node of 8 cores would hold more volumes than its disk."""
    for profile in pod_profiles().values():
        assert profile.requests["ephemeral-storage"] == profile.scratch
    largest = max(
        (profile for profile in pod_profiles().values() if not profile.gpus), key=lambda p: quantity(p.scratch)
    )
    for node in cpu_nodes(aws).values():
        n_by_cpu = int(node.cpu / quantity(largest.cpu))
        assert n_by_cpu * quantity(largest.scratch) <= node.disk_gib, "cores that no disk is left for"


def test_the_cpu_pool_holds_as_many_steps_as_airflow_launches(aws: list[Manifest], slots: dict[str, int]) -> None:
    limit = int(of_kind(aws, "NodePool")["airscript-cpu"]["spec"]["limits"]["cpu"])
    nodes = cpu_nodes(aws)
    usual = {placement.profile.name for placement in PLACEMENTS.values() if not placement.profile.gpus}
    needed = slots["default_pool"] * max(vcpus_for_a_pod(nodes, pod_profiles()[name]) for name in usual)
    workers = of_kind(aws, "ScaledObject")
    deployments = in_namespace(aws, "Deployment", "airscript-live")
    live = sum(
        workers[name]["spec"]["maxReplicaCount"]
        * quantity(worker["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]["cpu"])
        for name, worker in deployments.items()
    )
    assert needed + 1.3 * live <= limit, f"{needed} vCPUs of steps, {live} cores of stream workers"
    assert limit <= 1.2 * (needed + live), "more than can be used: lower it, or raise Airflow's pool"


def test_the_quota_holds_what_airflow_launches(aws: list[Manifest], slots: dict[str, int]) -> None:
    """Above the quota a pod would be rejected, not queued."""
    hard = of_kind(aws, "ResourceQuota")["airscript-jobs"]["spec"]["hard"]
    usual = [placement.profile for placement in PLACEMENTS.values()]
    for resource in ("cpu", "memory", "ephemeral-storage"):
        largest = {
            pool: max(quantity(profile.requests[resource]) for profile in usual if profile.pool == pool)
            for pool in ("default_pool", "gpu")
        }
        needed = sum(slots[pool] * amount for pool, amount in largest.items())
        assert needed <= quantity(hard[f"requests.{resource}"]), resource
    assert sum(slots.values()) <= int(hard["pods"])
    assert slots["gpu"] == int(hard[f"requests.{GPU_RESOURCE}"])
    assert slots["gpu"] == int(of_kind(aws, "NodePool")["airscript-gpu-spot"]["spec"]["limits"][GPU_RESOURCE])


def requested_quota(code: str) -> int:
    found = re.search(rf"--quota-code {code} --desired-value (\d+)", RUNBOOK)
    assert found, f"the runbook asks for no quota {code}"
    return int(found[1])


def test_the_runbook_asks_for_the_vcpus_of_all_node_pools(aws: list[Manifest]) -> None:
    (platform,) = yaml.safe_load((K8S / "eks" / "cluster.yaml").read_text())["managedNodeGroups"]
    assert platform["instanceType"].endswith(".xlarge"), "4 vCPUs"
    pools = {name: pool["spec"]["limits"] for name, pool in of_kind(aws, "NodePool").items()}
    standard = 4 * platform["maxSize"] + sum(int(limits["cpu"]) for limits in pools.values() if "cpu" in limits)
    assert requested_quota("L-1216C47A") >= standard
    gpus = {name: int(limits[GPU_RESOURCE]) for name, limits in pools.items() if GPU_RESOURCE in limits}
    spot = 4 * gpus["airscript-gpu-spot"] + 8 * (gpus["airscript-gpu-train-spot"] - 1)  # the second one replaces
    assert requested_quota("L-3819A6DF") >= spot
    on_demand = 8 * (gpus["airscript-gpu-ondemand"] + gpus["airscript-gpu-train-ondemand"])
    assert requested_quota("L-DB2E81BA") >= on_demand


def test_kafka_has_three_nodes_that_do_not_expire(aws: list[Manifest]) -> None:
    pool = of_kind(aws, "NodePool")["airscript-kafka"]["spec"]
    assert pool["template"]["spec"]["expireAfter"] == "Never"
    (members,) = of_kind(aws, "KafkaNodePool").values()
    assert "controller" in members["spec"]["roles"]
    pod = members["spec"]["template"]["pod"]
    (apart,) = pod["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert apart["topologyKey"] == "kubernetes.io/hostname"
    (spread,) = pod["topologySpreadConstraints"]
    assert (spread["topologyKey"], spread["whenUnsatisfiable"]) == ("topology.kubernetes.io/zone", "DoNotSchedule")
    assert of_kind(aws, "Kafka")["airscript"]["spec"]["kafka"]["rack"]["topologyKey"] == spread["topologyKey"]
    assert {t["key"] for t in pool["template"]["spec"]["taints"]} <= {t["key"] for t in pod["tolerations"]}
    (cores,) = map(int, requirement(of_kind(aws, "NodePool")["airscript-kafka"], "instance-cpu"))
    assert int(pool["limits"]["cpu"]) >= cores * (members["spec"]["replicas"] + 1)


def test_nodes_are_in_private_subnets_with_a_pinned_image(aws: list[Manifest]) -> None:
    (node_class,) = of_kind(aws, "EC2NodeClass").values()
    for term in node_class["spec"]["subnetSelectorTerms"]:
        assert term["tags"]["kubernetes.io/role/internal-elb"] == "1", "eksctl's tag of private subnets"
    for term in node_class["spec"]["amiSelectorTerms"]:
        assert re.fullmatch(r"al2023@v20\d{6}", term["alias"])
