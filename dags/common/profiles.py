"""Where a step's pod runs and with how much: the only place that says so.

A profile names resources, node, priority, deadline and grace. A placement gives each step its profile and the service
account of its role. Operator arguments replace a pod template's values instead of merging with them, so there is no
template: the profile is the whole truth, and `tests/dags/golden/` shows the pods that come of it.

A cluster with other nodes changes profiles without changing this file: `AIRSCRIPT_PROFILES` names a YAML file with
fields by profile, such as `k8s/overlays/local/profiles.yaml`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
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
    """Requested cores. There is no limit: an idle core is better used than throttled."""
    memory: str
    """Requested and at most."""
    scratch: str
    """Size of the local scratch volume."""
    priority_class: str
    deadline: timedelta
    """After this the kubelet ends the pod, whatever Airflow knows."""
    grace_s: int = 100
    """From SIGTERM to SIGKILL. A Spot node gives 120 s of notice, all in all."""
    start_timeout_s: int = 900
    """For a new node to come, and again for the image to be pulled."""
    gpus: int = 0
    large_gpu: bool = False
    """Needs a GPU of 48 GB; those are kept for what does."""
    spot: bool = False
    pool: str = "default_pool"
    """Airflow pool; one per class of accelerator, with as many slots as there are GPUs."""
    on_demand: str = ""
    """Profile to fall back to when Spot nodes keep being taken away."""
    larger: str = ""
    """Profile to try once after running out of memory."""
    image: str = ""
    """Another image than the installation's (`AIRSCRIPT_CPU_IMAGE`, `AIRSCRIPT_GPU_IMAGE`)."""

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
        return {"cpu": self.cpu, "memory": self.memory} | self._gpus

    @property
    def limits(self) -> dict[str, str]:
        return {"memory": self.memory} | self._gpus

    @property
    def _gpus(self) -> dict[str, str]:
        return {GPU_RESOURCE: str(self.gpus)} if self.gpus else {}

    @property
    def execution_timeout(self) -> timedelta:
        """What Airflow allows: the deadline, and the time until the pod runs."""
        return self.deadline + timedelta(seconds=2 * self.start_timeout_s)


DEFAULTS = {
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
        Profile(
            name="cpu-large",
            cpu="4",
            memory="12Gi",
            scratch="100Gi",
            priority_class="airscript-batch",
            deadline=timedelta(hours=6),
            larger="cpu-huge",
        ),
        Profile(
            name="cpu-huge",
            cpu="4",
            memory="30Gi",
            scratch="100Gi",
            priority_class="airscript-batch",
            deadline=timedelta(hours=6),
        ),
        # A node keeps half a core and 3 to 6 GiB for itself and its daemons. This fits the smallest instance with a GPU
        # (4 vCPUs, 16 GiB), and the three below fit the next (8 vCPUs): quotas count vCPUs.
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
        # Training alone: its presets ask for 40 GB, weights with optimizer pass through memory when they are saved, two
        # pools of features lie beside them, and thousands of hours take days.
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


def adapted(profiles: Mapping[str, Profile], path: str) -> dict[str, Profile]:
    """The profiles with the fields that the YAML file at `path` changes; as they are without a path.

    Raises:
        ValueError: the file is missing or torn, or names a profile, a field or a value that is none.
    """
    if not path:
        return dict(profiles)
    # Neither is needed where nothing is changed, and parsing DAGs should be quick.
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
            raise ValueError(f"no profile or field of that name: {', '.join(unknown)}; there are {', '.join(profiles)}")
        validate = TypeAdapter(Profile).validate_python
        changed = {name: validate(asdict(profiles[name]) | fields) for name, fields in changes.items()}
        named = [p.on_demand for p in changed.values()] + [p.larger for p in changed.values()]
        if missing := [name for name in named if name and name not in profiles]:
            raise ValueError(f"no such profile: {', '.join(missing)}; there are {', '.join(profiles)}")
    except (OSError, AttributeError, TypeError, ValueError, yaml.YAMLError) as error:
        raise ValueError(f"AIRSCRIPT_PROFILES={path}: {error}") from None
    return {**profiles, **changed}


PROFILES = adapted(DEFAULTS, settings().profiles)


@dataclass(frozen=True)
class Placement:
    """What a step runs on, and as whom."""

    profile: Profile
    role: str

    @property
    def service_account(self) -> str:
        """Its rights on the buckets come with it (IRSA); there is one for each role."""
        return f"airscript-{self.role}"


def _placed(role: str, **profiles: str) -> dict[str, Placement]:
    return {step.replace("_", "-"): Placement(PROFILES[name], role) for step, name in profiles.items()}


PLACEMENTS = {
    **_placed(
        "corpus",
        scan_corpus="cpu-small",
        prepare_corpus="cpu-large",
        match_captions="gpu-spot",
        extract_features="gpu-spot",
        assemble_dataset="cpu-large",
    ),
    **_placed(
        "training",
        train="gpu-train-spot",
        convert_model="gpu-spot",
        evaluate="gpu-spot",
        compare_models="cpu-small",
        register_model="cpu-large",  # the model and its package, gigabytes each, lie on its disk
        promote_model="cpu-small",
    ),
    **_placed(
        "transcription",
        plan_night="cpu-small",
        prepare_media="cpu-large",
        diarize="gpu-spot",
        recognise="gpu-spot",
        publish="cpu-small",
        report_night="cpu-small",
    ),
}
