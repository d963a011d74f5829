"""The one way to launch a step: `step("prepare-corpus", shard=uri, item=name)`.

A DAG names the step and its arguments; everything else follows from the step: where its output and receipt go, what
it runs on, how long it may take, what is retried. The same call makes a process or a pod (`AIRSCRIPT_RUNTIME`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dags.common.failures import RETRIES, RETRY_DELAY, StepRetryPolicy
from dags.common.profiles import PLACEMENTS
from dags.common.settings import settings
from tasks.contract import STEPS

if TYPE_CHECKING:
    from airflow.sdk import Asset, BaseOperator


def step(
    name: str,
    /,
    *,
    task_id: str = "",
    item: Any = "",
    outlets: Sequence[Asset] = (),
    trigger_rule: str = "all_success",
    skip_if_no: str = "",
    skip_without: str = "",
    **arguments: Any,
) -> BaseOperator:
    """A task that runs the step `name` with `arguments`.

    Arguments may be values, templates, outputs of other tasks, or arguments of a mapped task group. `item` names a
    mapped task after its shard or batch. With `skip_if_no`, the task ends as skipped, and its outlets do not change,
    when the result's label of that name says no; with `skip_without`, it is skipped, and nothing is launched, when its
    argument of that name comes out empty.

    Raises:
        ValueError: the step has no such argument, or lacks one; while the DAG file is parsed.
    """
    definition = STEPS[name]
    fields = definition.arguments.model_fields
    missing = {field for field, info in fields.items() if info.is_required()} - set(arguments) - {"output"}
    unknown = set(arguments) - set(fields) | set(arguments) & {"output", "receipt"}
    if missing or unknown:
        raise ValueError(f"step {name}: arguments missing: {sorted(missing)}; not its own: {sorted(unknown)}")
    profile = PLACEMENTS[name].profile
    pods = settings().runtime == "kubernetes"
    return _operator(pods)(
        task_id=task_id or name.replace("-", "_"),
        step=name,
        step_arguments=arguments,
        item=item,
        skip_if_no=skip_if_no,
        skip_without=skip_without,
        outlets=list(outlets),
        trigger_rule=trigger_rule,
        retries=RETRIES,
        retry_delay=RETRY_DELAY,
        retry_policy=StepRetryPolicy(),
        execution_timeout=profile.execution_timeout,
        pool=profile.pool if pods else "default_pool",
        map_index_template="{{ task.item }}" if item else None,
        doc_md=definition.arguments.__doc__,
    )


def _operator(pods: bool) -> type[Any]:
    # The Kubernetes client takes a second to import: only where pods are launched.
    if pods:
        from dags.common.kubernetes import KubernetesStepOperator

        return KubernetesStepOperator
    from dags.common.local import LocalStepOperator

    return LocalStepOperator
