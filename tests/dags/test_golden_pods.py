"""Every pod that any DAG can launch, as YAML in `golden/`: a changed default shows up in the diff.

`AIRSCRIPT_GOLDEN=write pytest tests/dags/test_golden_pods.py` regenerates them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from dags.common.launch import StepLauncher
from dags.common.profiles import PLACEMENTS, pod_profiles
from dags.common.step import step

GOLDEN = Path(__file__).parent / "golden"
WRITE = os.environ.get("AIRSCRIPT_GOLDEN") == "write"
KUBERNETES = "1.34"
# They depend on the environment.
VOLATILE = ("airflow_version", "airflow_kpo_in_cluster")


@pytest.fixture
def manifest(environment: Callable[..., None], task_context: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    """The manifest that a task would send to Kubernetes, without its random name and volatile labels."""

    def build(task: Any, context: Any = None) -> dict[str, Any]:
        from kubernetes.client import ApiClient

        pod = task.build_pod_request_obj(context or task_context(task), dry_run=True)
        plain: dict[str, Any] = ApiClient().sanitize_for_serialization(pod)
        plain["metadata"]["name"] = task.name
        for label in VOLATILE:
            plain["metadata"]["labels"].pop(label, None)
        return plain

    return build


def check(name: str, found: dict[str, Any]) -> None:
    kubernetes_validate.validate(found, KUBERNETES, strict=True)
    file = GOLDEN / f"{name}.yaml"
    text = yaml.safe_dump(found, sort_keys=True, width=120)
    if WRITE:
        GOLDEN.mkdir(exist_ok=True)
        file.write_text(text)
    golden = file.read_text() if file.exists() else ""
    assert text == golden, f"{file.name} differs: if intended, run with AIRSCRIPT_GOLDEN=write"


def test_every_task_of_every_dag(
    cluster: dict[str, str],
    load_dags: Callable[[], dict[str, Any]],
    task_context: Callable[..., Any],
    render: Callable[..., Any],
    manifest: Callable[..., dict[str, Any]],
) -> None:
    names = set()
    for dag in load_dags().values():
        for task in dag.tasks:
            if isinstance(task, StepLauncher):
                mapped = task.get_closest_mapped_task_group() is not None
                context = task_context(task, map_index=1 if mapped else -1)
                names.add(f"{dag.dag_id}.{task.task_id}")
                check(f"{dag.dag_id}.{task.task_id}", manifest(render(task, context), context))
    written = {file.stem for file in GOLDEN.glob("*.yaml")}
    assert {name for name in written if not name.startswith("profile.")} == names, "a file without a task"


@pytest.mark.parametrize("profile", sorted(pod_profiles()))
def test_every_profile(
    cluster: dict[str, str], profile: str, manifest: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Including the fallbacks, which are used only after a failure."""
    task: Any = step("train", dataset="s3://speech/manifest.json", base="s3://speech/base")
    monkeypatch.setattr(task, "profile", lambda context: pod_profiles()[profile])
    check(f"profile.{profile}", manifest(task))


def test_a_pod_holds_no_secret_and_is_restricted(
    cluster: dict[str, str], manifest: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AIRFLOW__CORE__FERNET_KEY"):
        monkeypatch.setenv(name, "hidden-from-pods")
    found = manifest(step("train", dataset="s3://speech/manifest.json", base="s3://speech/base"))
    assert "hidden-from-pods" not in yaml.safe_dump(found)
    spec = found["spec"]
    (container,) = spec["containers"]  # no sidecar
    assert spec["automountServiceAccountToken"] is False
    assert spec["restartPolicy"] == "Never"
    assert spec["terminationGracePeriodSeconds"] < 120
    assert spec["activeDeadlineSeconds"] == PLACEMENTS["train"].profile.deadline.total_seconds()
    assert container["resources"]["limits"]["memory"] == container["resources"]["requests"]["memory"]
    # Pod Security "restricted"
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"]["drop"] == ["ALL"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_labels_are_valid_for_any_item_name(cluster: dict[str, str], manifest: Callable[..., dict[str, Any]]) -> None:
    task = step("prepare-media", batch="s3://speech/batch", item="Tagesschau: 20 Uhr, „Spezial“ " + "x" * 80)
    label = manifest(task)["metadata"]["labels"]["airscript.io/item"]
    assert 0 < len(label) <= 63
