"""The gate before a promotion: the comparison's rule decides, or a person in Airflow's UI."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import HITLOperator

from dags.common.failures import RETRY_DELAY
from tasks.contract.arguments import Promotion

if TYPE_CHECKING:
    from airflow.sdk import Context

ASK = "ask"
_PROMOTE, _KEEP = "Promote", "Keep the champion"
_RESPONSE_TIMEOUT = timedelta(hours=24)

QUESTION = """
{%- set compared = ti.xcom_pull(task_ids='compare_models', key='metrics') -%}
{%- macro xcom(task, key) -%}{{ ti.xcom_pull(task_ids=task, key=key) }}{%- endmacro -%}
{%- if not compared -%}
It was not evaluated, because no dataset was given. Model card: {{ xcom('register_model', 'report') }}
{%- else -%}
Recommendation: **{{ xcom('compare_models', 'decision') }}**: {{ xcom('compare_models', 'reason') }}.

| on the test split | new model | champion |
|---|---:|---:|
| word error rate | {{ '%.2f' | format(100 * compared.challenger_wer) }} % | \
{{ '%.2f' | format(100 * compared.champion_wer) }} % |
| hallucinated words per minute of non-speech | {{ '%.1f' | format(compared.challenger_invented_per_minute) }} | \
{{ '%.1f' | format(compared.champion_invented_per_minute) }} |
| RTFx | {{ '%.0f' | format(compared.challenger_rtfx) }} | {{ '%.0f' | format(compared.champion_rtfx) }} |

Difference in WER: {{ '%.2f' | format(100 * compared.difference_low) }} to \
{{ '%.2f' | format(100 * compared.difference_high) }} points (95 % confidence, over \
{{ xcom('compare_models', 'resampled') }}). \
Largest regression: {{ xcom('compare_models', 'most_worse') }}. \
Out of domain: {{ xcom('compare_models', 'out_of_domain') }}.

Version {{ xcom('register_model', 'model') }}: {{ xcom('register_model', 'url') }}. Full report: \
{{ xcom('register_model', 'report') }}
{%- endif -%}
"""


class PromotionGate(HITLOperator):
    """Ask a person whether to promote, if the form says `ask`; otherwise pass on the form's value.

    The decision is passed by XCom as `promote` (a `Promotion`) and `decided_by`. This is not an ApprovalOperator
    because that skips what follows a refusal, and promote-model has to record a refusal with the model. Without an
    answer within a day the champion stays.
    """

    template_fields = (*HITLOperator.template_fields, "promote")

    def __init__(self, *, promote: str, **kwargs: Any) -> None:
        super().__init__(
            options=[_PROMOTE, _KEEP],
            defaults=_KEEP,
            response_timeout=_RESPONSE_TIMEOUT,
            multiple_outputs=True,
            retries=3,
            retry_delay=RETRY_DELAY,
            **kwargs,
        )
        self.promote = promote

    def execute(self, context: Context) -> Any:
        if self.promote == ASK:
            return super().execute(context)  # defers; execute_complete continues
        by_form = context["dag_run"].triggering_user_name or "form"
        return {"promote": self.promote, "decided_by": "rule" if self.promote == Promotion.IF_BETTER else by_form}

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, str]:
        answer = super().execute_complete(context, event)
        promote = Promotion.YES if answer["chosen_options"] == [_PROMOTE] else Promotion.NO
        user = answer["responded_by_user"]
        decided_by = user["name"] if user else f"nobody within {_RESPONSE_TIMEOUT.total_seconds() / 3600:.0f} h"
        self.log.info("promote: %s, decided by %s", promote, decided_by)
        return {"promote": promote.value, "decided_by": decided_by}
