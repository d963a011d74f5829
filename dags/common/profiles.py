"""Pod profiles (resources, node, priority, deadline, grace period), and the profile and service account of each step.

There is no pod template: operator arguments replace a template's values instead of merging with them. The resulting
pods are in `tests/dags/golden/`.

`AIRSCRIPT_PROFILES` adapts the profiles to another cluster's nodes: a YAML file of fields by profile, such as
`k8s/overlays/local/profiles.yaml`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from dags.common.settings import settings

NODE_LABEL = "airscript.io/node"
CAPACITY_LABEL = "karpenter.sh/capacity-type"
GPU_RESOURCE = "nvidia.com/gpu"
LARGE_GPU = "airscript.io/large-gpu"  # label and taint of nodes whose GPUs have 48 GB


@dataclass(frozen=True)
class Profile:
    """One kind of pod."""

    name: str
    cpu: str
    """Requested cores. There is no limit: throttling would leave cores idle."""
    memory: str
    """Request and limit."""
    scratch: str
    """Size of the local scratch volume."""
    priority_class: str
    deadline: timedelta
    """The kubelet ends the pod after this time, even if Airflow is down."""
    grace_s: int = 100
    """Time from SIGTERM to SIGKILL. A Spot node gives 120 s of notice in total."""
    start_timeout_s: int = 900
    """Time limit for a new node to join, and once more for the image to be pulled."""
    gpus: int = 0
    large_gpu: bool = False
    """Needs a GPU of 48 GB. Those nodes are tainted, so that nothing else runs on them."""
    spot: bool = False
    pool: str = "default_pool"
    """Airflow pool: one per class of accelerator, with as many slots as there are GPUs."""
    on_demand: str = ""
    """Profile to use after repeated Spot preemptions."""
    larger: str = ""
    """Profile to use, once, after running out of memory."""
    image: str = ""
    """Image instead of the installation's (`AIRSCRIPT_CPU_IMAGE`, `AIRSCRIPT_GPU_IMAGE`)."""

    @property
    def node_selector(self) -> dict[str, str]:
        return {
            NODE_LABEL: "gpu" if self.gpus else "cpu",
            CAPACITY_LABEL: "spot" if self.spot else "on-demand",
        } | ({LARGE_GPU: "true"} if self.gpus and self.large_gpu else {})

    @property
    def tolerations(self) -> list[dict[str, str]]:
        taints = [GPU_RESOURCE] if self.gpus else []
        if self.gpus and self.large_gpu:
            taints.append(LARGE_GPU)
        if self.spot:
            taints.append(CAPACITY_LABEL)
        return [{"key": taint, "operator": "Exists", "effect": "NoSchedule"} for taint in taints]

    @property
    def requests(self) -> dict[str, str]:
        # Scratch is an emptyDir: without the request the scheduler puts more of them on a node than its disk holds.
        return {"cpu": self.cpu, "memory": self.memory, "ephemeral-storage": self.scratch} | self._gpus

    @property
    def limits(self) -> dict[str, str]:
        return {"memory": self.memory} | self._gpus

    @property
    def _gpus(self) -> dict[str, str]:
        return {GPU_RESOURCE: str(self.gpus)} if self.gpus else {}

    @property
    def execution_timeout(self) -> timedelta:
        """Airflow's limit: the deadline plus the time until the pod runs."""
        return self.deadline + timedelta(seconds=2 * self.start_timeout_s)


DEFAULT_PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            name="cpu-small",
            cpu="1",
            memory="2Gi",
            scratch="10Gi",
            priority_class="airscript-batch",
            deadline=timedelta(hours=2),
            larger="cpu-large",
        ),
        # Three cores, because a node of four keeps some for itself: of these every node of four holds one, and of eight
        # two. `tests/k8s/test_capacity.py` holds these figures, node pools, quotas and Airflow's pools together.
        Profile(
            name="cpu-large",
            cpu="3",
            memory="12Gi",
            scratch="100Gi",
            priority_class="airscript-batch",
            deadline=timedelta(hours=6),
            larger="cpu-huge",
        ),
        Profile(
            name="cpu-huge",
            cpu="3",
            memory="26Gi",
            scratch="100Gi",
            priority_class="airscript-batch",
            deadline=timedelta(hours=6),
        ),
        # A node reserves half a core and 3 to 6 GiB for itself and its daemons. This profile fits the smallest GPU
        # instance (4 vCPUs, 16 GiB), the three below fit the next size (8 vCPUs): quotas count vCPUs.
        Profile(
            name="gpu-spot",
            cpu="3",
            memory="12Gi",
            scratch="100Gi",
            priority_class="airscript-gpu",
            deadline=timedelta(hours=24),
            gpus=1,
            spot=True,
            pool="gpu",
            on_demand="gpu-ondemand",
            larger="gpu-ondemand",
        ),
        Profile(
            name="gpu-ondemand",
            cpu="4",
            memory="26Gi",
            scratch="100Gi",
            priority_class="airscript-gpu",
            deadline=timedelta(hours=24),
            gpus=1,
            pool="gpu",
        ),
        # For training only: its presets need 40 GB of GPU memory; a checkpoint (weights and optimizer) passes through
        # main memory, beside two pools of features; thousands of hours of speech take days.
        Profile(
            name="gpu-train-spot",
            cpu="4",
            memory="48Gi",
            scratch="100Gi",
            priority_class="airscript-gpu",
            deadline=timedelta(days=5),
            gpus=1,
            large_gpu=True,
            spot=True,
            pool="gpu",
            on_demand="gpu-train-ondemand",
            larger="gpu-train-ondemand",
        ),
        Profile(
            name="gpu-train-ondemand",
            cpu="4",
            memory="56Gi",
            scratch="100Gi",
            priority_class="airscript-gpu",
            deadline=timedelta(days=5),
            gpus=1,
            large_gpu=True,
            pool="gpu",
        ),
    )
}


def override_profiles(profiles: Mapping[str, Profile], path: str) -> dict[str, Profile]:
    """Return the profiles with the fields in the YAML file at `path` replaced; unchanged without a path.

    Raises:
        ValueError: the file is missing or malformed, or has an unknown profile or field, or an invalid value.
    """
    if not path:
        return dict(profiles)
    # Imported only when needed: parsing DAGs should be quick.
    import yaml
    from pydantic import TypeAdapter

    try:
        changes: dict[str, dict[str, Any]] = yaml.safe_load(Path(path).read_text()) or {}
        unknown = [name for name in changes if name not in profiles]
        unknown += [
            f"{name}.{field}"
            for name, fields in changes.items()
            for field in fields
            if field == "name" or field not in Profile.__dataclass_fields__
        ]
        if unknown:
            raise ValueError(f"unknown profile or field: {', '.join(unknown)}; the profiles are {', '.join(profiles)}")
        validate = TypeAdapter(Profile).validate_python
        changed = {name: validate(asdict(profiles[name]) | fields) for name, fields in changes.items()}
        fallbacks = [p.on_demand for p in changed.values()] + [p.larger for p in changed.values()]
        if missing := [name for name in fallbacks if name and name not in profiles]:
            raise ValueError(f"unknown profile: {', '.join(missing)}; the profiles are {', '.join(profiles)}")
    except (OSError, AttributeError, TypeError, ValueError, yaml.YAMLError) as error:
        raise ValueError(f"AIRSCRIPT_PROFILES={path}: {error}") from None
    return {**profiles, **changed}


@cache
def pod_profiles() -> dict[str, Profile]:
    """The profiles of this installation, by name.

    Read at the first use, not on import: every process of Airflow imports this module with the plugins, and tasks are
    forked from it. So the next task has what the file says, without a restart.
    """
    return override_profiles(DEFAULT_PROFILES, settings().profiles)


@dataclass(frozen=True)
class Placement:
    """A step's profile and role.

    A role has its own service account, prefix of receipts, rights on the bucket (`k8s/eks/policies`), and network.
    Steps that decode media or read captions of unknown origin have roles of their own, which reach storage only.
    """

    profile_name: str
    role: str

    @property
    def profile(self) -> Profile:
        return pod_profiles()[self.profile_name]

    @property
    def service_account(self) -> str:
        """The role's service account, which carries its rights on the buckets (IRSA)."""
        return f"airscript-{self.role}"


def _placements(role: str, **profiles: str) -> dict[str, Placement]:
    return {step.replace("_", "-"): Placement(name, role) for step, name in profiles.items()}


MLFLOW_ACCOUNTS = {"corpus": "reader", "transcription": "reader", "training": "trainer", "registry": "registrar"}
"""MLflow's account of each role (`images/mlflow/accounts.py`). Only the registrar's may move `@champion`; roles
that decode have none, and network policies keep them from MLflow."""

PLACEMENTS = {
    **_placements(
        "corpus",
        scan_corpus="cpu-small",
        match_captions="gpu-spot",
        extract_features="gpu-spot",
        assemble_dataset="cpu-large",
    ),
    **_placements("corpus-decoding", prepare_corpus="cpu-large"),
    **_placements(
        "training",
        train="gpu-train-spot",
        import_model="cpu-large",  # downloads and converts: gigabytes of memory and scratch
        convert_model="gpu-spot",
        evaluate="gpu-spot",
        compare_models="cpu-small",
    ),
    **_placements(
        "registry",
        register_model="cpu-large",  # needs scratch for the model and its package, gigabytes each
        register_import="cpu-large",
        promote_model="cpu-small",
    ),
    **_placements("night-decoding", prepare_media="cpu-large"),
    **_placements(
        "transcription",
        plan_night="cpu-small",
        diarize="gpu-spot",
        recognise="gpu-spot",
        publish="cpu-small",
        report_night="cpu-small",
    ),
}
