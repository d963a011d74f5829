"""What both runtimes share: the argument vector of a step, and what becomes of its receipt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, get_origin

from airflow.sdk.exceptions import AirflowSkipException
from pydantic import ValidationError

from dags.common.failures import StepFailed, StepMisconfigured
from dags.common.receipts import receipt_uri
from dags.common.settings import settings
from tasks.contract import STEPS, Receipt, Status, StepArguments, StepDefinition, to_argv

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context

    Operator = BaseOperator
else:
    Operator = object


class StepLauncher(Operator):
    """The part of an operator that knows steps. The other part knows processes, or pods.

    XCom after success: `return_value` is the list of `{"name", "uri"}` that the next step is mapped over, or for a
    step that does not fan out the URI of its `result.json`. Beside it stand `result`, `status` (`done`, `cached`),
    `counts`, `metrics`, `warnings`, and each label of the result under the label's own name.
    """

    step: str
    step_arguments: dict[str, Any]
    item: Any
    skip_if_no: str
    skip_without: str

    step_fields: Sequence[str] = ("step_arguments", "item")

    @property
    def definition(self) -> StepDefinition:
        return STEPS[self.step]

    def receipt_uri(self, context: Context) -> str:
        return receipt_uri(settings().storage, context)

    def arguments_model(self, context: Context) -> StepArguments:
        """The rendered arguments, checked before anything is started.

        Raises:
            StepMisconfigured: one of them is not what the step takes.
        """
        fields = self.definition.arguments.model_fields
        given = {
            name: _sequence(value) if get_origin(fields[name].annotation) is tuple else value
            for name, value in self.step_arguments.items()
        }
        places = {
            "output": f"{settings().storage}/work/{self.step}",
            "receipt": self.receipt_uri(context),
        }
        try:
            return self.definition.arguments.model_validate(given | places)
        except ValidationError as error:
            faults = "; ".join(f"{'.'.join(map(str, e['loc']))}={e['input']!r}: {e['msg']}" for e in error.errors())
            raise StepMisconfigured(f"{self.step}: {faults}") from None

    def pre_execute(self, context: Context) -> None:
        """Airflow calls this when templates are rendered. Raises AirflowSkipException for want of `skip_without`."""
        super().pre_execute(context)
        if self.skip_without and not getattr(self.arguments_model(context), self.skip_without):
            raise AirflowSkipException(f"{self.step}: no {self.skip_without}, so there is nothing to do")

    def command(self, context: Context) -> list[str]:
        """What follows the interpreter, the same words in a process and in a pod: `-m tasks scan-corpus --…`."""
        return self.definition.command(to_argv(self.arguments_model(context)))

    def conclude(self, context: Context, receipt: Receipt | None) -> Any:
        """Turn the receipt of a success into log lines, XCom and asset events; returns the task's `return_value`.

        Raises:
            StepFailed: there is no receipt, or it tells of a failure.
            AirflowSkipException: the result's label `skip_if_no` says no, so no asset changed.
        """
        if receipt is None or receipt.status is Status.FAILED:
            told = "says that it failed" if receipt else "is missing"
            raise StepFailed(f"the step ended well, but its receipt {told}: {self.receipt_uri(context)}")
        for warning in receipt.warnings:
            self.log.warning("%s", warning)
        facts: dict[str, Any] = {
            **receipt.counts,
            **{name: round(value, 4) for name, value in receipt.metrics.items()},
            **receipt.labels,
        }
        self.log.info(
            "%s: %s in %.1f s%s",
            receipt.status,
            " ".join(filter(None, (self.step, self.item))),
            receipt.seconds,
            "".join(f" {name}={value}" for name, value in facts.items()),
        )
        report = receipt.model_dump(mode="json", include={"result", "status", "counts", "metrics", "warnings"})
        for key, value in (receipt.labels | report).items():
            if value:
                context["ti"].xcom_push(key, value)
        for asset in self.outlets:
            context["outlet_events"][asset].extra = {"result": receipt.result, **facts}
        if self.skip_if_no and receipt.labels.get(self.skip_if_no) == "no":
            raise AirflowSkipException(f"{self.step}: {self.skip_if_no}: no")
        items = [item.model_dump() for item in receipt.items]
        return items if self.definition.fans_out else receipt.result


def _sequence(value: Any) -> tuple[Any, ...]:
    """The outputs of mapped tasks: Airflow 3.3 gives a single output bare, and None where there is none."""
    values = (value,) if isinstance(value, str) else value or ()
    return tuple(item for item in values if item is not None)
