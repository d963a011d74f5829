"""Overriding profiles for another cluster."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from dags.common.profiles import DEFAULT_PROFILES, PLACEMENTS, override_profiles

CHECKOUT = Path(__file__).parents[2]
LOCAL = CHECKOUT / "k8s" / "overlays" / "local" / "profiles.yaml"


def test_without_a_file_nothing_changes() -> None:
    assert override_profiles(DEFAULT_PROFILES, "") == DEFAULT_PROFILES


def test_a_file_changes_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "profiles.yaml"
    file.write_text("cpu-small: {memory: 3Gi, deadline: PT1H}\n")
    changed = override_profiles(DEFAULT_PROFILES, str(file))
    assert changed["cpu-small"].memory == "3Gi"
    assert changed["cpu-small"].deadline == timedelta(hours=1)
    assert changed["cpu-small"].larger == DEFAULT_PROFILES["cpu-small"].larger
    assert {**changed, "cpu-small": DEFAULT_PROFILES["cpu-small"]} == DEFAULT_PROFILES


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("cpu-tiny: {cpu: 1}", "cpu-tiny"),
        ("cpu-small: {memoy: 1Gi}", "cpu-small.memoy"),
        ("cpu-small: {name: other}", "cpu-small.name"),
        ("cpu-small: {gpus: many}", "gpus"),
        ("cpu-small: {larger: gigantic}", "gigantic"),
        ("- cpu-small", "profiles.yaml"),
        ("cpu-small: 3Gi", "cpu-small"),
        ("cpu-small: {cpu: [", "profiles.yaml"),
    ],
)
def test_an_error_names_the_file_and_the_field(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "profiles.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=reason) as raised:
        override_profiles(DEFAULT_PROFILES, str(file))
    assert f"AIRSCRIPT_PROFILES={file}" in str(raised.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="No such file"):
        override_profiles(DEFAULT_PROFILES, str(tmp_path / "profiles.yaml"))


def test_every_step_can_be_scheduled_on_one_node() -> None:
    """`k8s/overlays/local`: no GPU, no Spot, and one kind of node."""
    local = override_profiles(DEFAULT_PROFILES, str(LOCAL))
    selectors = {tuple(local[placement.profile.name].node_selector.items()) for placement in PLACEMENTS.values()}
    assert len(selectors) == 1
    assert not any(profile.gpus or profile.tolerations for profile in local.values())


@pytest.mark.parametrize(
    ("profile", "cores", "memory_gib"),
    [("gpu-spot", 4, 16), ("gpu-ondemand", 8, 32), ("gpu-train-spot", 8, 64), ("gpu-train-ondemand", 8, 64)],
)
def test_a_pod_with_a_gpu_fits_the_instance_that_the_quotas_count(profile: str, cores: int, memory_gib: int) -> None:
    """Reserved: 7.5 % of the memory for the virtual machine (Karpenter), 1 GiB for the kubelet, half a core and GiB for
    daemons."""
    asked = DEFAULT_PROFILES[profile].requests
    assert int(asked["cpu"]) <= cores - 0.6
    assert int(asked["memory"].removesuffix("Gi")) <= 0.925 * memory_gib - 1.5


def test_the_next_task_has_a_changed_file(tmp_path: Path) -> None:
    """Although the process from which tasks are forked has the plugins, and with them the roles of steps."""
    file = tmp_path / "profiles.yaml"
    script = """
import os
from pathlib import Path
import dags.plugins.pages
file = Path(os.environ["AIRSCRIPT_PROFILES"])
file.write_text("cpu-small: {memory: 5Gi}")
from dags.common.profiles import PLACEMENTS
assert PLACEMENTS["plan-night"].profile.memory == "5Gi"
"""
    file.write_text("cpu-small: {memory: 3Gi}")
    environment = {**os.environ, "AIRSCRIPT_PROFILES": str(file), "AIRSCRIPT_HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", script], cwd=CHECKOUT, env=environment, check=True)
