"""The contract between a DAG and the process that runs a step.

Both images carry it, so it imports only pydantic and the standard library, never Airflow or torch.
"""

from tasks.contract.arguments import StepArguments
from tasks.contract.argv import from_argv, to_argv
from tasks.contract.outcomes import (
    TRANSIENT_REASONS,
    WITHOUT_SPEAKERS,
    ExitCode,
    InputRejected,
    ItemOutcome,
    Misconfigured,
    Outcome,
    Preempted,
    Reason,
    StepError,
    count_outcomes,
)
from tasks.contract.result import (
    RESULT_NAME,
    Artifact,
    Frozen,
    MappedItem,
    ProgressReport,
    Receipt,
    ReceiptItem,
    Status,
    StepResult,
    canonical_json,
    digest_of,
    progress_uri,
)
from tasks.contract.steps import STEPS, StepDefinition

__all__ = [
    "RESULT_NAME",
    "STEPS",
    "TRANSIENT_REASONS",
    "WITHOUT_SPEAKERS",
    "Artifact",
    "ExitCode",
    "Frozen",
    "InputRejected",
    "ItemOutcome",
    "MappedItem",
    "Misconfigured",
    "Outcome",
    "Preempted",
    "ProgressReport",
    "Reason",
    "Receipt",
    "ReceiptItem",
    "Status",
    "StepArguments",
    "StepDefinition",
    "StepError",
    "StepResult",
    "canonical_json",
    "count_outcomes",
    "digest_of",
    "from_argv",
    "progress_uri",
    "to_argv",
]
