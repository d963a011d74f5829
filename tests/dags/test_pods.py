"""The Kubernetes operator from a pod's start to its end: success, failure types, reattaching after a restart.

Kubernetes' API is a dictionary of pods; our operator, the provider's and its pod manager are real. `make test-cluster`
does the same on a real cluster.
"""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.cncf.kubernetes.triggers.pod import KubernetesPodTrigger
from airflow.sdk.exceptions import TaskDeferred
from kubernetes.client import ApiClient
from kubernetes.client import models as k8s
from kubernetes.client.exceptions import ApiException

from dags.common.failures import StepFailed, StepInputRejected, StepOutOfMemory, StepPreempted, StepStartTimeout
from dags.common.receipts import read_receipt, receipt_path
from dags.common.step import step
from tasks.contract import Receipt, ReceiptItem, Status

DONE = Receipt(
    step="scan-corpus",
    status=Status.DONE,
    result="s3://speech/work/scan-corpus/abc/result.json",
    items=(ReceiptItem(name="part-0", uri="s3://speech/work/scan-corpus/abc/part-0"),),
)
REJECTED = Receipt(step="scan-corpus", status=Status.FAILED, exit_code=65, error="s3://speech: nothing there")


class Cluster:
    """The Kubernetes calls that the provider makes, on a dictionary of pods."""

    def __init__(self) -> None:
        self.pods: dict[str, k8s.V1Pod] = {}
        self.is_in_cluster = False
        self.core_v1_client = self
        self.api_client = ApiClient()

    def create_namespaced_pod(self, body: dict[str, Any], namespace: str, **_: Any) -> k8s.V1Pod:
        meta = body["metadata"]
        pod = k8s.V1Pod(
            metadata=k8s.V1ObjectMeta(name=meta["name"], namespace=namespace, labels=dict(meta["labels"])),
            spec=k8s.V1PodSpec(containers=[k8s.V1Container(name="step")]),
            status=k8s.V1PodStatus(phase="Running"),
        )
        self.pods[meta["name"]] = pod
        return pod

    def list_namespaced_pod(self, namespace: str, label_selector: str) -> Any:
        wanted = dict(part.split("=", 1) for part in label_selector.split(",") if "=" in part and "!=" not in part)
        found = [p for p in self.pods.values() if wanted.items() <= p.metadata.labels.items()]
        return SimpleNamespace(items=[p for p in found if p.metadata.labels.get("already_checked") != "True"])

    def read_namespaced_pod(self, name: str, namespace: str, **_: Any) -> k8s.V1Pod:
        if name not in self.pods:
            raise ApiException(status=404)
        return self.pods[name]

    def get_pod(self, name: str, namespace: str) -> k8s.V1Pod:
        return self.read_namespaced_pod(name, namespace)

    def delete_namespaced_pod(self, name: str, namespace: str, **_: Any) -> None:
        self.pods.pop(name, None)

    def patch_namespaced_pod(self, name: str, namespace: str, body: dict[str, Any]) -> None:
        self.pods[name].metadata.labels.update(body["metadata"]["labels"])

    def list_namespaced_event(self, namespace: str, **_: Any) -> Any:
        return SimpleNamespace(items=[])

    def read_namespaced_pod_log(self, **_: Any) -> Any:
        return io.BytesIO(b"level=info event=working\n")

    def end(self, exit_code: int | None, reason: str = "Error", pod_reason: str | None = None) -> None:
        """End the only pod."""
        (pod,) = self.pods.values()
        ended = k8s.V1ContainerStateTerminated(exit_code=exit_code, reason=reason) if exit_code is not None else None
        waits = None if ended else k8s.V1ContainerStateWaiting(reason="ContainerCreating")
        phase = "Pending" if ended is None else "Succeeded" if exit_code == 0 else "Failed"
        state = k8s.V1ContainerState(terminated=ended, waiting=waits)
        status = k8s.V1ContainerStatus(name="step", image="i", image_id="i", ready=False, restart_count=0, state=state)
        pod.status = k8s.V1PodStatus(
            phase=phase, reason=pod_reason, container_statuses=[status] if pod_reason != "Pending" else None
        )


@pytest.fixture
def cluster_api() -> Cluster:
    return Cluster()


@pytest.fixture
def task(environment: Callable[..., None], cluster_api: Cluster) -> Any:
    environment(AIRSCRIPT_RUNTIME="kubernetes")
    return new_task(cluster_api)


def new_task(cluster_api: Cluster) -> Any:
    task: Any = step("scan-corpus", media="s3://speech/media")
    task.hook = cluster_api
    task.kubernetes_conn_id = None
    return task


@pytest.fixture
def start(run_task: Callable[..., Any]) -> Callable[[Any, dict[str, Any]], str]:
    """Run the task until it defers; returns the pod's name."""

    def begin(task: Any, context: dict[str, Any]) -> str:
        context["ti"].start_date = datetime.now(UTC)
        with pytest.raises(TaskDeferred):
            run_task(task, context)
        name: str = task.pod.metadata.name
        return name

    return begin


def write_receipt(task: Any, context: dict[str, Any], receipt: Receipt) -> None:
    path = receipt_path(task.receipt_uri(context))
    path.parent.mkdir(parents=True, exist_ok=True)
    # `DONE` is of a storage on S3, the task's is a folder.
    path.write_text(receipt.model_dump_json().replace("s3://speech/work/scan-corpus", task.output_prefix))


def resume(task: Any, context: dict[str, Any], name: str, status: str) -> Any:
    event = {"status": status, "name": name, "namespace": "airscript-jobs", "message": f"pod {status}"}
    return task.trigger_reentry(context, event)


def test_a_successful_pod(task: Any, cluster_api: Cluster, task_context: Any, start: Callable[..., str]) -> None:
    context = task_context(task)
    name = start(task, context)
    write_receipt(task, context, DONE)
    cluster_api.end(0)
    assert resume(task, context, name, "success") == [{"name": "part-0", "uri": f"{task.output_prefix}/abc/part-0"}]
    assert task.do_xcom_push, "else nothing can be mapped over the return value"
    assert cluster_api.pods == {}


def test_exit_code_0_without_a_receipt_is_a_failure(
    task: Any, cluster_api: Cluster, task_context: Any, start: Callable[..., str]
) -> None:
    context = task_context(task)
    name = start(task, context)
    cluster_api.end(0)
    with pytest.raises(StepFailed, match="receipt is missing"):
        resume(task, context, name, "success")


@pytest.mark.parametrize(
    ("end", "status", "failure"),
    [
        ({"exit_code": 65}, "failed", StepInputRejected),
        ({"exit_code": 1}, "failed", StepFailed),
        ({"exit_code": 137, "reason": "OOMKilled"}, "failed", StepOutOfMemory),
        ({"exit_code": 137, "pod_reason": "NodeShutdown"}, "failed", StepPreempted),
        ({"exit_code": None}, "timeout", StepStartTimeout),
    ],
)
def test_failures_have_types_and_the_pod_is_deleted(
    task: Any,
    cluster_api: Cluster,
    task_context: Any,
    start: Callable[..., str],
    end: dict[str, Any],
    status: str,
    failure: type[Exception],
) -> None:
    context = task_context(task)
    name = start(task, context)
    write_receipt(task, context, REJECTED)
    cluster_api.end(**end)
    with pytest.raises(failure) as caught:
        resume(task, context, name, status)
    assert type(caught.value) is failure
    assert cluster_api.pods == {}


@pytest.mark.parametrize("status", ["error", "failed", "success"])
def test_a_deleted_pod_was_preempted_unless_its_receipt_is_there(
    task: Any, cluster_api: Cluster, task_context: Any, start: Callable[..., str], status: str
) -> None:
    context = task_context(task)
    name = start(task, context)
    cluster_api.pods.clear()
    with pytest.raises((StepPreempted, StepFailed)) as caught:
        resume(task, context, name, status)
    assert type(caught.value) is (StepFailed if status == "success" else StepPreempted)
    write_receipt(task, context, DONE)
    assert len(resume(task, context, name, status)) == 1


def test_a_complete_result_counts_more_than_the_pods_failure(
    task: Any, cluster_api: Cluster, task_context: Any, start: Callable[..., str]
) -> None:
    context = task_context(task)
    name = start(task, context)
    write_receipt(task, context, DONE)
    cluster_api.end(137)  # preempted between its last write and its exit
    assert len(resume(task, context, name, "failed")) == 1


def test_a_new_pod_deletes_the_old_receipt_and_a_retry_reattaches_to_a_running_pod(
    task: Any, cluster_api: Cluster, task_context: Any, start: Callable[..., str]
) -> None:
    context = task_context(task)
    write_receipt(task, context, DONE)
    name = start(task, context)
    assert read_receipt(task.receipt_uri(context)) is None

    # Airflow's process dies, the pod runs on and finishes; the next try finds it.
    write_receipt(task, context, DONE)
    again = new_task(cluster_api)
    second = task_context(again, try_number=2, store=context["task_state_store"])
    assert start(again, second) == name
    assert list(cluster_api.pods) == [name]
    receipt = read_receipt(again.receipt_uri(second))
    assert receipt is not None
    assert receipt.status is Status.DONE


def test_a_terminated_task_is_a_failure(
    task: Any, cluster_api: Cluster, task_context: Any, run_task: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not deferred: apache/airflow #73006 records this as success."""
    context = task_context(task)
    task.deferrable = False

    def terminated(pod: k8s.V1Pod) -> None:
        task.on_kill()

    monkeypatch.setattr(task, "await_pod_start", lambda pod: None)
    monkeypatch.setattr(task, "await_pod_completion", terminated)
    write_receipt(task, context, DONE)
    with pytest.raises(StepPreempted):
        run_task(task, context)
    assert cluster_api.pods == {}


def test_the_trigger_fires_only_after_the_scheduler_knows_that_the_task_deferred(
    task: Any, task_context: Any, run_task: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """apache/airflow #72716: otherwise the task is taken for one that was killed from outside."""
    context = task_context(task)
    context["ti"].start_date = datetime.now(UTC)
    with pytest.raises(TaskDeferred) as waiting:
        run_task(task, context)
    path, arguments = waiting.value.trigger.serialize()
    module, _, name = path.rpartition(".")
    trigger = getattr(import_module(module), name)(**arguments)
    monkeypatch.setattr("dags.common.pod_trigger.START_DELAY_S", 0.3)
    monkeypatch.setattr(KubernetesPodTrigger, "run", fire_at_once)
    began = time.monotonic()
    assert asyncio.run(anext(trigger.run())) == "fired"
    assert time.monotonic() - began >= 0.3


async def fire_at_once(_trigger: Any) -> Any:
    yield "fired"
