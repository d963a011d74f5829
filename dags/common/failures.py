"""How an attempt of a step fails, in types, and what each type means for the retry.

Exit codes are the contract's (`tasks.contract.ExitCode`); a pod adds what Kubernetes knows: eviction, node shutdown,
out of memory, never started.
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
"""Airflow's own limit, never the first to be reached: when the scheduler dies with the tasks that it runs, each loses a
try, and no policy is asked."""
RETRY_DELAY = timedelta(seconds=15)
LONGEST_DELAY = timedelta(minutes=2)

KILLED = frozenset({128 + 9, 128 + 15})
"""Exit codes of SIGKILL and SIGTERM: somebody else ended it."""
_TAKEN_AWAY = frozenset({"Evicted", "NodeLost", "NodeShutdown", "Preempting", "Shutdown", "Terminated"})
"""A pod's `status.reason` when its node was wanted back or went down."""


class StepFailure(Exception):
    """One attempt of a step failed."""

    allowed = 3
    """Failures of this type that one task instance may have before it is failed for good."""
    delay = timedelta(seconds=30)
    """Before the second try; doubled each time, up to `LONGEST_DELAY`."""


class StepFailed(StepFailure):
    """A bug, or a fault of the machine."""


class StepPreempted(StepFailure):
    """It was stopped and its state is saved: the node was taken back, the pod deleted, the process terminated."""

    allowed = 9
    delay = timedelta(seconds=5)


class StepOutOfMemory(StepFailure):
    """It needs more memory. A pod's next try runs with the next larger profile."""

    allowed = 2


class StepStartTimeout(StepFailure):
    """Its pod did not start: no node, no image."""


class StepInputRejected(StepFailure):
    """Its input is bad and will be bad again."""

    allowed = 1


class StepMisconfigured(StepFailure):
    """An argument or a setting is wrong."""

    allowed = 1


def failure_of(exit_code: int, receipt: Receipt | None) -> StepFailure:
    """The failure behind a process's exit code. The receipt, when it tells of the same end, says why."""
    told = receipt is not None and receipt.exit_code == exit_code
    message = receipt.error if receipt is not None and told else f"exit code {exit_code}, see the log above"
    if receipt is not None and told and receipt.reason is Reason.MEMORY_LIMIT:
        return StepOutOfMemory(message)
    if exit_code in KILLED:
        return StepPreempted(f"killed by signal {exit_code - 128}")
    kinds: dict[int, type[StepFailure]] = {
        ExitCode.INPUT_REJECTED: StepInputRejected,
        ExitCode.PREEMPTED: StepPreempted,
        ExitCode.MISCONFIGURED: StepMisconfigured,
    }
    return kinds.get(exit_code, StepFailed)(message)


def failure_of_pod(pod: V1Pod | None, container: str, receipt: Receipt | None) -> StepFailure:
    """The failure behind a pod as Kubernetes shows it after its end. No pod at all: it was taken away."""
    if pod is None:
        return StepPreempted("the pod is gone")
    name, status = pod.metadata.name, pod.status
    terminated = next(
        (c.state.terminated for c in status.container_statuses or [] if c.name == container and c.state), None
    )
    why = f"{name}: {status.reason or status.phase}{f', {status.message}' if status.message else ''}"
    if terminated is not None and terminated.reason == "OOMKilled":
        return StepOutOfMemory(f"{name}: out of memory (exit code {terminated.exit_code})")
    if status.reason == "DeadlineExceeded":
        return StepFailed(f"{why}: longer than its profile's deadline")
    if status.reason == "Evicted" and "exceeds" in (status.message or ""):
        # Its own doing: more scratch than the profile gives. The next pod would do the same.
        return StepFailed(why)
    disrupted = any(c.type == "DisruptionTarget" and c.status == "True" for c in status.conditions or [])
    if status.reason in _TAKEN_AWAY or disrupted:
        return StepPreempted(why)
    if terminated is not None:
        failure = failure_of(terminated.exit_code, receipt)
        return type(failure)(f"{name}: {failure}")
    if pod.metadata.deletion_timestamp is not None:
        return StepPreempted(f"{name}: deleted while it ran")
    if status.phase == "Running":
        return StepFailed(f"{name}: still running at the task's time limit")
    return StepStartTimeout(f"{why}: did not start, see the pod's events in the log")


ATTEMPTS_KEY = "failed_attempts"


def failed_attempts(context: Context | None) -> Counter[str]:
    """How often this task instance failed since it was cleared last, by type. Airflow's task state store keeps it."""
    store: Any = (context or {}).get("task_state_store")
    return Counter((store.get(attempts_key(context)) if store is not None else None) or {})


def attempts_key(context: Context | None) -> str:
    """Airflow does not empty the store when a task is cleared, but allows it more tries."""
    ti = (context or {}).get("ti")
    return f"{ATTEMPTS_KEY}_{ti.max_tries}" if ti is not None else ATTEMPTS_KEY


class StepRetryPolicy(RetryPolicy):
    """Preemptions retry freely, faults within limits, a bad input or setting never."""

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,
        max_tries: int,  # noqa: ARG002  Airflow holds to it itself
        context: Context | None = None,
    ) -> RetryDecision:
        kind = _kind(exception)
        failures = _count(kind.__name__, context) or try_number
        reason = f"{kind.__name__}: {failures} of {kind.allowed} allowed"
        if failures >= kind.allowed:
            return RetryDecision.fail(reason)
        return RetryDecision.retry(min(kind.delay * 2 ** (failures - 1), LONGEST_DELAY), reason)


def _kind(exception: BaseException) -> type[StepFailure]:
    if isinstance(exception, XComNotFound):
        return StepMisconfigured  # the task before left no such output, and will not in this run
    return type(exception) if isinstance(exception, StepFailure) else StepFailed


def _count(kind: str, context: Context | None) -> int:
    """How many failures of this kind there are with this one; 0 where Airflow gives no store to count in."""
    store: Any = (context or {}).get("task_state_store")
    if store is None:
        return 0
    attempts = failed_attempts(context)
    attempts[kind] += 1
    store.set(attempts_key(context), dict(attempts))
    return attempts[kind]
