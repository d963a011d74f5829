"""The gate before a promotion: a rule decides, or a person in Airflow's UI."""

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
{%- macro told(task, key) -%}{{ ti.xcom_pull(task_ids=task, key=key) }}{%- endmacro -%}
The rule says **{{ told('compare_models', 'decision') }}**: {{ told('compare_models', 'reason') }}.

| on the test split | new model | champion |
|---|---:|---:|
| word error rate | {{ '%.2f' | format(100 * compared.challenger_wer) }} % | \
{{ '%.2f' | format(100 * compared.champion_wer) }} % |
| words a minute heard where nobody speaks | {{ '%.1f' | format(compared.challenger_invented_per_minute) }} | \
{{ '%.1f' | format(compared.champion_invented_per_minute) }} |
| times real time | {{ '%.0f' | format(compared.challenger_rtfx) }} | {{ '%.0f' | format(compared.champion_rtfx) }} |

The difference lies between {{ '%.2f' | format(100 * compared.difference_low) }} and \
{{ '%.2f' | format(100 * compared.difference_high) }} points (95 %, over {{ told('compare_models', 'resampled') }}). \
It lost most in: {{ told('compare_models', 'most_worse') }}. \
Out of domain: {{ told('compare_models', 'out_of_domain') }}.

Version {{ told('register_model', 'model') }}: {{ told('register_model', 'url') }}. The whole report: \
{{ told('register_model', 'report') }}
"""


class PromotionGate(HITLOperator):
    """Ask a person whether to promote, if the form said `ask`; else pass on what the form said.

    The decision goes on by XCom as `promote` (a `Promotion`) and `decided_by`, because a refusal must reach
    promote-model too: it is recorded with the model. That is why this is no ApprovalOperator, whose refusal skips
    what follows. Nobody answers for a day: the champion stays.
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
            return super().execute(context)  # waits; execute_complete goes on
        by_form = context["dag_run"].triggering_user_name or "form"
        return {"promote": self.promote, "decided_by": "rule" if self.promote == Promotion.IF_BETTER else by_form}

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, str]:
        answer = super().execute_complete(context, event)
        promote = Promotion.YES if answer["chosen_options"] == [_PROMOTE] else Promotion.NO
        user = answer["responded_by_user"]
        decided_by = user["name"] if user else f"nobody within {_RESPONSE_TIMEOUT.total_seconds() / 3600:.0f} h"
        self.log.info("promote: %s, decided by %s", promote, decided_by)
        return {"promote": promote.value, "decided_by": decided_by}
