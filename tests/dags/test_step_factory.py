"""The step factory, settings and profiles: validation, and the choice of operator and profile."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dags.common.failures import RETRIES, attempts_key
from dags.common.settings import Settings
from dags.common.step import step


def test_unknown_missing_and_reserved_arguments_fail_while_parsing(environment: object) -> None:
    with pytest.raises(ValueError, match=r"missing arguments: \['media'\]"):
        step("scan-corpus")
    with pytest.raises(ValueError, match=r"unknown: \['medium'\]"):
        step("scan-corpus", media="s3://m", medium="s3://m")
    with pytest.raises(ValueError, match=r"unknown: \['output'\]"):
        step("scan-corpus", media="s3://m", output="s3://elsewhere")
    with pytest.raises(KeyError):
        step("scan-corpse", media="s3://m")


def test_the_runtime_decides_the_operator_and_the_pool(environment: Callable[..., None]) -> None:
    local = step("train", dataset="s3://d", base="s3://b")
    environment(AIRSCRIPT_RUNTIME="kubernetes")
    pod = step("train", dataset="s3://d", base="s3://b")
    assert (type(local).__name__, local.pool) == ("LocalStepOperator", "default_pool")
    assert (type(pod).__name__, pod.pool) == ("KubernetesStepOperator", "gpu")


@pytest.mark.parametrize("runtime", ["local", "kubernetes"])
def test_a_step_without_a_needed_argument_is_skipped_before_anything_starts(
    environment: Callable[..., None], task_context: Callable[..., Any], runtime: str
) -> None:
    from airflow.sdk.exceptions import AirflowSkipException

    environment(AIRSCRIPT_RUNTIME=runtime)
    task: Any = step("match-captions", prepared="s3://p/result.json", model="None", skip_if_argument_is_empty="model")
    with pytest.raises(AirflowSkipException, match="no model"):
        task.pre_execute(task_context(task))  # an empty form field renders as "None"
    task.step_arguments = {**task.step_arguments, "model": "models:/acoustic-model@champion"}
    task.pre_execute(task_context(task))


def test_default_locations(tmp_path: Path) -> None:
    found = Settings.from_environment({"AIRSCRIPT_HOME": str(tmp_path)})
    assert found.storage == (tmp_path / "storage").as_uri()
    assert found.inbox == f"{found.storage}/inbox"
    assert found.worker_python == sys.executable
    assert found.runtime == "local"


def test_a_folder_or_a_uri(tmp_path: Path) -> None:
    folder = Settings.from_environment({"AIRSCRIPT_CORPUS": str(tmp_path / "our archive")})
    assert folder.corpus == (tmp_path / "our archive").as_uri()
    assert Settings.from_environment({"AIRSCRIPT_CORPUS": "s3://speech/archive/"}).corpus == "s3://speech/archive"


@pytest.mark.parametrize(
    ("variables", "error"),
    [
        ({"AIRSCRIPT_RUNTIME": "docker"}, "Set it to local or kubernetes"),
        ({"AIRSCRIPT_CPU_IMAGE": "registry.example:5000/worker"}, "name a version"),
        ({"AIRSCRIPT_GPU_IMAGE": "worker:latest"}, "name a version"),
    ],
)
def test_invalid_settings_are_rejected_with_the_next_step(variables: dict[str, str], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        Settings.from_environment(variables)


def test_an_image_by_digest() -> None:
    image = "registry.example:5000/worker@sha256:" + "0" * 64
    assert Settings.from_environment({"AIRSCRIPT_CPU_IMAGE": image}).cpu_image == image


@pytest.mark.parametrize(
    ("failures", "try_number", "expected"),
    [
        ({}, 1, "gpu-train-spot"),
        ({"StepPreempted": 2}, 3, "gpu-train-spot"),
        ({"StepPreempted": 3}, 4, "gpu-train-ondemand"),
        ({"StepOutOfMemory": 1}, 2, "gpu-train-ondemand"),
        ({"StepFailed": 2}, 3, "gpu-train-spot"),
        ({}, RETRIES + 1, "gpu-train-ondemand"),
    ],
)
def test_earlier_failures_choose_the_profile(
    environment: Callable[..., None],
    task_context: Callable[..., Any],
    failures: dict[str, int],
    try_number: int,
    expected: str,
) -> None:
    environment(AIRSCRIPT_RUNTIME="kubernetes")
    task: Any = step("train", dataset="s3://d", base="s3://b")
    context = task_context(task, try_number=try_number)
    context["task_state_store"].set(attempts_key(context), failures)
    assert task.profile(context).name == expected


def test_a_step_that_ran_out_of_memory_gets_a_larger_pod(
    environment: Callable[..., None], task_context: Callable[..., Any]
) -> None:
    environment(AIRSCRIPT_RUNTIME="kubernetes")
    task: Any = step("scan-corpus", media="s3://m")
    context = task_context(task)
    assert task.profile(context).name == "cpu-small"
    context["task_state_store"].set(attempts_key(context), {"StepOutOfMemory": 1})
    assert task.profile(context).name == "cpu-large"
