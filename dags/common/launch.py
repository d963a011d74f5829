"""What both operators share: building a step's argument vector, and turning its receipt into XCom and asset events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, get_origin
from urllib.parse import unquote

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
    """Mixin for operators that launch steps; the subclasses run them as processes or pods.

    XCom after success: `return_value` is the list of `{"name", "uri"}` that the next step is mapped over or, for a
    step that does not fan out, the URI of its `result.json`. Further keys are `result`, `status` (`done`, `cached`),
    `counts`, `metrics`, `warnings`, and each label of the result under its own name.
    """

    step: str
    step_arguments: dict[str, Any]
    item: Any
    skip_if_label_is_no: str
    skip_if_argument_is_empty: str

    step_fields: Sequence[str] = ("step_arguments", "item")

    @property
    def definition(self) -> StepDefinition:
        return STEPS[self.step]

    @property
    def output_prefix(self) -> str:
        """URI prefix of the step's results: the only one where its role may write them."""
        return f"{settings().storage}/work/{self.step}"

    def receipt_uri(self, context: Context) -> str:
        return receipt_uri(settings().storage, self.step, context)

    def validate_arguments(self, context: Context) -> StepArguments:
        """The rendered arguments as the step's model, validated before anything is started.

        Raises:
            StepMisconfigured: an argument is invalid.
        """
        fields = self.definition.arguments.model_fields
        given = {
            name: _as_tuple(value) if get_origin(fields[name].annotation) is tuple else value
            for name, value in self.step_arguments.items()
        }
        locations = {
            "output": self.output_prefix,
            "receipt": self.receipt_uri(context),
        }
        try:
            return self.definition.arguments.model_validate(given | locations)
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, e['loc']))}={e['input']!r}: {e['msg']}" for e in error.errors())
            raise StepMisconfigured(f"{self.step}: {problems}") from None

    def pre_execute(self, context: Context) -> None:
        """Skip the task if the argument named in `skip_if_argument_is_empty` is empty. Its template is rendered."""
        super().pre_execute(context)
        name = self.skip_if_argument_is_empty
        if name and not getattr(self.validate_arguments(context), name):
            raise AirflowSkipException(f"{self.step}: no {name}, so there is nothing to do")

    def command(self, context: Context) -> list[str]:
        """The interpreter's arguments, the same in a process and in a pod: `-m tasks scan-corpus --…`."""
        return self.definition.command(to_argv(self.validate_arguments(context)))

    def conclude(self, context: Context, receipt: Receipt | None) -> Any:
        """Turn a successful receipt into log lines, XCom and asset events; return the task's `return_value`.

        Raises:
            StepFailed: the receipt is missing, reports a failure, or names another step's objects as its own.
            AirflowSkipException: the label named by `skip_if_label_is_no` is `no`, so that no asset event is emitted.
        """
        if receipt is None or receipt.status is Status.FAILED:
            problem = "reports a failure" if receipt else "is missing"
            raise StepFailed(f"the step exited with 0, but its receipt {problem}: {self.receipt_uri(context)}")
        self._require_own_objects(receipt)
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
        if self.skip_if_label_is_no and receipt.labels.get(self.skip_if_label_is_no) == "no":
            raise AirflowSkipException(f"{self.step}: {self.skip_if_label_is_no}: no")
        items = [item.model_dump() for item in receipt.items]
        return items if self.definition.fans_out else receipt.result

    def _require_own_objects(self, receipt: Receipt) -> None:
        """A step that was taken over by what it decodes must not pass on objects that another step wrote."""
        foreign = [uri for uri in (receipt.result, *(item.uri for item in receipt.items)) if not self._is_own(uri)]
        if receipt.step != self.step or foreign:
            claimed = ", ".join(foreign[:3]) or receipt.step
            raise StepFailed(f"the receipt of {self.step} names what is not below {self.output_prefix}/: {claimed}")

    def _is_own(self, uri: str) -> bool:
        return uri.startswith(f"{self.output_prefix}/") and ".." not in unquote(uri).split("/")


def _as_tuple(value: Any) -> tuple[Any, ...]:
    """The outputs of mapped tasks. Airflow 3.3 passes a single output without a list, and None for a skipped task."""
    values = (value,) if isinstance(value, str) else value or ()
    return tuple(item for item in values if item is not None)
