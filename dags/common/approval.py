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
        return {"promote": self.promote, "decided_by": "rule" if self.promote == Promotion.IF_BETTER else "form"}

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, str]:
        answer = super().execute_complete(context, event)
        promote = Promotion.YES if answer["chosen_options"] == [_PROMOTE] else Promotion.NO
        user = answer["responded_by_user"]
        decided_by = user["name"] if user else f"nobody within {_RESPONSE_TIMEOUT.total_seconds() / 3600:.0f} h"
        self.log.info("promote: %s, decided by %s", promote, decided_by)
        return {"promote": promote.value, "decided_by": decided_by}
