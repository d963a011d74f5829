"""Typed failures of a step's attempt, and the retry policy for each type.

The type follows from the exit code (`tasks.contract.ExitCode`) and, for a pod, from its status: eviction, node
shutdown, out of memory, start timeout.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import RetryPolicy
from airflow.sdk.definitions.retry_policy import RetryDecision
from airflow.sdk.exceptions import XComNotFound

from tasks.contract import ExitCode, Reason, Receipt

if TYPE_CHECKING:
    from airflow.sdk import Context
    from kubernetes.client.models import V1Pod

RETRIES = 24
"""Airflow's own limit, higher than any in the retry policy: when the scheduler dies, each of its running tasks loses a
try without a call of the policy."""
RETRY_DELAY = timedelta(seconds=15)
MAX_DELAY = timedelta(minutes=2)

KILLED = frozenset({128 + 9, 128 + 15})
"""Exit codes of SIGKILL and SIGTERM: the process was ended from outside."""
_PREEMPTION_REASONS = frozenset({"Evicted", "NodeLost", "NodeShutdown", "Preempting", "Shutdown", "Terminated"})
"""A pod's `status.reason` when its node was reclaimed or shut down."""


class StepFailure(Exception):
    """One attempt of a step failed."""

    max_failures = 3
    """With this many failures of its type, the task instance fails for good."""
    delay = timedelta(seconds=30)
    """Delay before the second try; it doubles with each further one, up to `MAX_DELAY`."""


class StepFailed(StepFailure):
    """A bug or a fault of the machine."""


class StepPreempted(StepFailure):
    """Stopped from outside, with its state saved: node reclaimed, pod deleted or process terminated."""

    max_failures = 9
    delay = timedelta(seconds=5)


class StepOutOfMemory(StepFailure):
    """Out of memory. A pod's next try runs with the next larger profile."""

    max_failures = 2


class StepStartTimeout(StepFailure):
    """The pod did not start: no node or no image."""


class StepInputRejected(StepFailure):
    """The input is bad; a retry cannot help."""

    max_failures = 1


class StepMisconfigured(StepFailure):
    """An argument or a setting is wrong; a retry cannot help."""

    max_failures = 1


def failure_from_exit_code(exit_code: int, receipt: Receipt | None) -> StepFailure:
    """Return the failure that a process's exit code stands for, with the message of its receipt.

    A receipt with another exit code is ignored: another attempt wrote it.
    """
    if receipt is not None and receipt.exit_code != exit_code:
        receipt = None
    message = receipt.error if receipt is not None else f"exit code {exit_code}, see the log above"
    if receipt is not None and receipt.reason is Reason.MEMORY_LIMIT:
        return StepOutOfMemory(message)
    if exit_code in KILLED:
        return StepPreempted(f"killed by signal {exit_code - 128}")
    kinds: dict[int, type[StepFailure]] = {
        ExitCode.INPUT_REJECTED: StepInputRejected,
        ExitCode.PREEMPTED: StepPreempted,
        ExitCode.MISCONFIGURED: StepMisconfigured,
    }
    return kinds.get(exit_code, StepFailed)(message)


def failure_from_pod(pod: V1Pod | None, container: str, receipt: Receipt | None) -> StepFailure:
    """Return the failure that a pod's final status stands for. `pod` is None if the pod was deleted: a preemption."""
    if pod is None:
        return StepPreempted("the pod is gone")
    name, status = pod.metadata.name, pod.status
    terminated = next(
        (c.state.terminated for c in status.container_statuses or [] if c.name == container and c.state), None
    )
    cause = f"{name}: {status.reason or status.phase}{f', {status.message}' if status.message else ''}"
    if terminated is not None and terminated.reason == "OOMKilled":
        return StepOutOfMemory(f"{name}: out of memory (exit code {terminated.exit_code})")
    if status.reason == "DeadlineExceeded":
        return StepFailed(f"{cause}: it ran longer than its profile's deadline")
    if status.reason == "Evicted" and "exceeds" in (status.message or ""):
        # Evicted for using more scratch than its profile allows. No preemption: the next pod would be evicted too.
        return StepFailed(cause)
    disrupted = any(c.type == "DisruptionTarget" and c.status == "True" for c in status.conditions or [])
    if status.reason in _PREEMPTION_REASONS or disrupted:
        return StepPreempted(cause)
    if terminated is not None:
        failure = failure_from_exit_code(terminated.exit_code, receipt)
        return type(failure)(f"{name}: {failure}")
    if pod.metadata.deletion_timestamp is not None:
        return StepPreempted(f"{name}: deleted while it ran")
    if status.phase == "Running":
        return StepFailed(f"{name}: still running at the task's time limit")
    return StepStartTimeout(f"{cause}: did not start, see the pod's events in the log")


ATTEMPTS_KEY = "failed_attempts"


def failed_attempts(context: Context | None) -> Counter[str]:
    """Return how often this task instance failed since it was last cleared, by type (Airflow's task state store)."""
    store: Any = (context or {}).get("task_state_store")
    return Counter((store.get(attempts_key(context)) if store is not None else None) or {})


def attempts_key(context: Context | None) -> str:
    """Return the key of the counts. It contains `max_tries`, which clearing a task raises; the store is not emptied."""
    ti = (context or {}).get("ti")
    return f"{ATTEMPTS_KEY}_{ti.max_tries}" if ti is not None else ATTEMPTS_KEY


class StepRetryPolicy(RetryPolicy):
    """Retry up to the failure type's `max_failures`: many preemptions, a few faults, never a bad input or setting."""

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,
        max_tries: int,  # noqa: ARG002  Airflow enforces this limit itself
        context: Context | None = None,
    ) -> RetryDecision:
        kind = _failure_type(exception)
        failures = _count_failure(kind.__name__, context) or try_number
        reason = f"{kind.__name__}: {failures} of {kind.max_failures} allowed"
        if failures >= kind.max_failures:
            return RetryDecision.fail(reason)
        return RetryDecision.retry(min(kind.delay * 2 ** (failures - 1), MAX_DELAY), reason)


def _failure_type(exception: BaseException) -> type[StepFailure]:
    if isinstance(exception, XComNotFound):
        return StepMisconfigured  # the upstream task has no such output, and none will appear in this run
    return type(exception) if isinstance(exception, StepFailure) else StepFailed


def _count_failure(kind: str, context: Context | None) -> int:
    """Count this failure and return the new total of its type; 0 if Airflow provides no state store."""
    store: Any = (context or {}).get("task_state_store")
    if store is None:
        return 0
    attempts = failed_attempts(context)
    attempts[kind] += 1
    store.set(attempts_key(context), dict(attempts))
    return attempts[kind]
