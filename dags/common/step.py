"""The step factory, the only way to launch a step: `step("prepare-corpus", shard=uri, item=name)`.

A DAG gives the step's name and arguments; the rest follows from the step: output and receipt URIs, resources, timeout
and retries. `AIRSCRIPT_RUNTIME` decides whether it runs as a process or as a pod.
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
    skip_if_label_is_no: str = "",
    skip_if_argument_is_empty: str = "",
    **arguments: Any,
) -> BaseOperator:
    """A task that runs the step `name` with `arguments`.

    Arguments may be values, templates, outputs of other tasks, or arguments of a mapped task group. `item` names a
    mapped task after its shard or batch. `skip_if_label_is_no` names a label of the result: if it is `no`, the task
    ends as skipped and its outlets emit no event. `skip_if_argument_is_empty` names an argument of the step: if it is
    empty, the task is skipped without launching anything.

    Raises:
        ValueError: an unknown or missing argument; raised while the DAG file is parsed.
    """
    definition = STEPS[name]
    fields = definition.arguments.model_fields
    missing = {field for field, info in fields.items() if info.is_required()} - set(arguments) - {"output"}
    unknown = set(arguments) - set(fields) | set(arguments) & {"output", "receipt"}
    if missing or unknown:
        raise ValueError(f"step {name}: missing arguments: {sorted(missing)}; unknown: {sorted(unknown)}")
    profile = PLACEMENTS[name].profile
    pods = settings().runtime == "kubernetes"
    return _operator(pods)(
        task_id=task_id or name.replace("-", "_"),
        step=name,
        step_arguments=arguments,
        item=item,
        skip_if_label_is_no=skip_if_label_is_no,
        skip_if_argument_is_empty=skip_if_argument_is_empty,
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
    # The Kubernetes client takes a second to import: only for the Kubernetes runtime.
    if pods:
        from dags.common.kubernetes import KubernetesStepOperator

        return KubernetesStepOperator
    from dags.common.local import LocalStepOperator

    return LocalStepOperator
