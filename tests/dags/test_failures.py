"""Typed failures and their retries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk.definitions.retry_policy import RetryAction
from airflow.sdk.exceptions import XComNotFound
from kubernetes.client import models as k8s

from dags.common.failures import (
    MAX_DELAY,
    RETRIES,
    StepFailed,
    StepInputRejected,
    StepMisconfigured,
    StepOutOfMemory,
    StepPreempted,
    StepRetryPolicy,
    StepStartTimeout,
    failed_attempts,
    failure_from_exit_code,
    failure_from_pod,
)
from tasks.contract import Reason, Receipt, Status

REJECTED = Receipt(step="train", status=Status.FAILED, exit_code=65, reason=Reason.EMPTY, error="a.wav: empty")


def pod(
    exit_code: int | None = None,
    reason: str = "",
    pod_reason: str | None = None,
    message: str | None = None,
    phase: str = "Failed",
    disrupted: bool = False,
    deleted: bool = False,
) -> k8s.V1Pod:
    ended = k8s.V1ContainerStateTerminated(exit_code=exit_code, reason=reason) if exit_code is not None else None
    statuses = [
        k8s.V1ContainerStatus(
            name="step",
            image="i",
            image_id="i",
            ready=False,
            restart_count=0,
            state=k8s.V1ContainerState(terminated=ended),
        )
    ]
    conditions = [k8s.V1PodCondition(type="DisruptionTarget", status="True")] if disrupted else None
    return k8s.V1Pod(
        metadata=k8s.V1ObjectMeta(name="pod-1", deletion_timestamp="2026-01-02T03:04:05Z" if deleted else None),
        status=k8s.V1PodStatus(
            phase=phase,
            reason=pod_reason,
            message=message,
            conditions=conditions,
            container_statuses=statuses if exit_code is not None else None,
        ),
    )


@pytest.mark.parametrize(
    ("ended", "kind"),
    [
        (None, StepPreempted),
        (pod(exit_code=1, reason="Error"), StepFailed),
        (pod(exit_code=65, reason="Error"), StepInputRejected),
        (pod(exit_code=78, reason="Error"), StepMisconfigured),
        (pod(exit_code=75, reason="Error"), StepPreempted),
        (pod(exit_code=143, reason="Error"), StepPreempted),
        (pod(exit_code=137, reason="Error"), StepPreempted),
        (pod(exit_code=137, reason="OOMKilled"), StepOutOfMemory),
        (pod(exit_code=1, reason="Error", disrupted=True), StepPreempted),
        (pod(pod_reason="Evicted", message="The node was low on resource: memory."), StepPreempted),
        (pod(pod_reason="Evicted", message='Usage of EmptyDir volume "scratch" exceeds the limit "10Gi".'), StepFailed),
        (pod(pod_reason="NodeShutdown", message="Pod was terminated"), StepPreempted),
        (pod(exit_code=137, pod_reason="DeadlineExceeded"), StepFailed),
        (pod(phase="Pending"), StepStartTimeout),
        (pod(phase="Running", deleted=True), StepPreempted),
        (pod(phase="Running"), StepFailed),
    ],
)
def test_a_pods_end_has_a_type(ended: k8s.V1Pod | None, kind: type[Exception]) -> None:
    assert type(failure_from_pod(ended, "step", None)) is kind


def test_the_message_is_the_receipts() -> None:
    assert str(failure_from_exit_code(65, REJECTED)) == "a.wav: empty"
    assert str(failure_from_pod(pod(exit_code=65), "step", REJECTED)) == "pod-1: a.wav: empty"


def test_the_receipt_of_another_attempt_is_ignored() -> None:
    assert str(failure_from_exit_code(1, REJECTED)) == "exit code 1, see the log above"
    assert type(failure_from_exit_code(137, REJECTED)) is StepPreempted


def decisions(task_context: Callable[..., Any], *failures: BaseException) -> list[RetryAction]:
    from airflow.providers.standard.operators.empty import EmptyOperator

    context = task_context(EmptyOperator(task_id="a"))
    policy = StepRetryPolicy()
    return [policy.evaluate(f, number, RETRIES, context).action for number, f in enumerate(failures, start=1)]


RETRY, FAIL = RetryAction.RETRY, RetryAction.FAIL


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (StepInputRejected(), [FAIL]),
        (StepMisconfigured(), [FAIL]),
        (StepOutOfMemory(), [RETRY, FAIL]),
        (StepStartTimeout(), [RETRY, RETRY, FAIL]),
        (StepFailed(), [RETRY, RETRY, FAIL]),
        (ConnectionError(), [RETRY, RETRY, FAIL]),
        (XComNotFound("a_dag", "plan_night", "result"), [FAIL]),
        (StepPreempted(), [RETRY] * 8 + [FAIL]),
    ],
)
def test_each_type_has_its_limit(
    task_context: Callable[..., Any], failure: Exception, expected: list[RetryAction]
) -> None:
    assert decisions(task_context, *[failure] * len(expected)) == expected


def test_preemptions_do_not_use_up_the_tries_of_faults(task_context: Callable[..., Any]) -> None:
    preempted, fault = StepPreempted(), StepFailed()
    history = [preempted, preempted, preempted, fault, preempted, fault, preempted, fault]
    assert decisions(task_context, *history) == [RETRY] * 7 + [FAIL]


def test_delays_grow_and_reasons_are_given(task_context: Callable[..., Any]) -> None:
    from airflow.providers.standard.operators.empty import EmptyOperator

    context = task_context(EmptyOperator(task_id="a"))
    first, second = (StepRetryPolicy().evaluate(StepFailed(), n, RETRIES, context) for n in (1, 2))
    assert first.retry_delay
    assert second.retry_delay == 2 * first.retry_delay
    assert second.reason == "StepFailed: 2 of 3 allowed"
    eighth = [StepRetryPolicy().evaluate(StepPreempted(), n, RETRIES, context) for n in range(3, 11)][-1]
    assert eighth.retry_delay == MAX_DELAY
    assert failed_attempts(context) == {"StepFailed": 2, "StepPreempted": 8}


def test_a_cleared_task_has_all_its_tries_again(task_context: Callable[..., Any]) -> None:
    from airflow.providers.standard.operators.empty import EmptyOperator

    context = task_context(EmptyOperator(task_id="a"))
    assert [StepRetryPolicy().evaluate(StepFailed(), n, RETRIES, context).action for n in (1, 2, 3)][-1] is FAIL
    context["ti"].max_tries = 3 + RETRIES  # as Airflow sets it when the task is cleared
    assert StepRetryPolicy().evaluate(StepFailed(), 4, 3 + RETRIES, context).action is RETRY


def test_without_a_store_the_tries_count() -> None:
    actions = [StepRetryPolicy().evaluate(StepFailed(), number, RETRIES, None).action for number in (1, 2, 3)]
    assert actions == [RETRY, RETRY, FAIL]
