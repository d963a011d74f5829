"""The life cycle of four pods, through the operator and its trigger, each with its service account's token.

`python -m tests.cluster.pod_lives HOME`, with the platform's environment. Fails if anything that Airflow does with a
pod fails: start it, wait for it, reattach to a running one, delete it. The tasks' logs are on standard output.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import yaml
from airflow.providers.cncf.kubernetes.triggers.pod import KubernetesPodTrigger
from airflow.sdk.bases.operator import ExecutorSafeguard
from airflow.sdk.exceptions import TaskDeferred
from airflow.sdk.execution_time.context import OutletEventAccessors

from dags.common import pod_trigger
from dags.common.failures import StepInputRejected, StepStartTimeout
from dags.common.profiles import pod_profiles
from dags.common.step import step

HOME = Path(sys.argv[1])
LAUNCHER, WATCHER = (str(HOME / f"airflow-{name}.kubeconfig") for name in ("scheduler", "triggerer"))
EMPTY = "s3://speech/missing"


class Store(dict[str, Any]):
    def set(self, key: str, value: Any) -> None:
        self[key] = value


def new_task(run_id: str) -> tuple[Any, dict[str, Any]]:
    """A step that rejects its input after a second, and its context."""
    task: Any = step("match-captions", prepared=f"{EMPTY}/result.json", model="none")
    task.config_file, task.kubernetes_conn_id = LAUNCHER, None
    ti = SimpleNamespace(
        dag_id="rights",
        task_id=task.task_id,
        run_id=run_id,
        map_index=-1,
        try_number=1,
        max_tries=8,
        start_date=datetime.now(UTC),
        xcom_push=lambda key, value: None,
    )
    return task, {
        "ti": ti,
        "run_id": run_id,
        "dag": None,
        "task": task,
        "params": {},
        "outlet_events": OutletEventAccessors(),
        "task_state_store": Store(),
    }


def start(task: Any, context: dict[str, Any]) -> KubernetesPodTrigger:
    token = ExecutorSafeguard.tracker.set(task)
    try:
        task.execute(context)
    except TaskDeferred as deferred:
        trigger = deferred.trigger
        assert isinstance(trigger, KubernetesPodTrigger)
        return trigger
    finally:
        ExecutorSafeguard.tracker.reset(token)
    raise AssertionError("the task did not defer")


def wait(trigger: KubernetesPodTrigger) -> dict[str, Any]:
    """Run the trigger with the triggerer's token; returns its event."""
    trigger.config_dict = yaml.safe_load(Path(WATCHER).read_text())
    trigger.poll_interval = 1

    async def first() -> Any:
        return await anext(trigger.run())

    event = asyncio.run(asyncio.wait_for(first(), 120)).payload
    assert "permission" not in str(event.get("message")), event
    return dict(event)


def test_whole_life_cycle() -> None:
    task, context = new_task(f"whole-{uuid4().hex[:8]}")
    event = wait(start(task, context))
    try:
        task.trigger_reentry(context, event)
        raise AssertionError("the step accepted a missing input")
    except StepInputRejected:
        pass
    assert task.find_pod("airscript-jobs", context=context) is None, "the pod was not deleted"


def test_reattach_to_a_running_pod() -> None:
    run_id = f"taken-{uuid4().hex[:8]}"
    first, context = new_task(run_id)
    start(first, context)
    second, later = new_task(run_id)
    start(second, later)
    assert second.pod.metadata.name == first.pod.metadata.name
    second.on_kill()  # deletes the pod


def test_stop_by_a_user() -> None:
    """The task is marked as failed while the triggerer waits for its pod."""
    task, context = new_task(f"stopped-{uuid4().hex[:8]}")
    trigger = start(task, context)
    trigger.config_dict = yaml.safe_load(Path(WATCHER).read_text())
    asyncio.run(trigger.on_kill())
    pod = task.find_pod("airscript-jobs", context=context)
    assert pod is None or pod.metadata.deletion_timestamp is not None, "the pod is not being deleted"


def test_missing_image() -> None:
    profile = pod_profiles()["gpu-spot"]
    object.__setattr__(profile, "image", "registry.invalid/none:1")
    object.__setattr__(profile, "start_timeout_s", 8)
    task, context = new_task(f"imageless-{uuid4().hex[:8]}")
    try:
        task.trigger_reentry(context, wait(start(task, context)))
        raise AssertionError("the pod started without an image")
    except StepStartTimeout:
        pass


if __name__ == "__main__":
    pod_trigger.START_DELAY_S = 0
    test_whole_life_cycle()
    test_reattach_to_a_running_pod()
    test_stop_by_a_user()
    test_missing_image()
