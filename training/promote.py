"""`promote-model`: move the `champion` alias to a registered version, if it deserves it.

Nothing cached may hide a rollback: a result is reused only while this version is the champion. Whenever it is not,
the step looks again and decides again.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

from tasks.contract import InputRejected, Reason, canonical_json
from tasks.contract.arguments import PromoteModel, Promotion
from tasks.contract.events import ModelPromoted
from tasks.models import resolve
from tasks.step import StepContext, StepOutput, load_result
from tasks.streaming import kafka

VERSION = 1
PROMOTION = "promotion.json"


def inputs(arguments: PromoteModel) -> dict[str, str]:
    registered = load_result(arguments.registered)
    is_champion = _champion(registered.labels["name"]) == registered.labels["version"]
    return {
        "registered": registered.content_digest,
        "comparison": load_result(arguments.comparison).content_digest,
        "state": "champion already" if is_champion else f"looked at {secrets.token_hex(8)}",
    }


def _champion(name: str) -> str:
    """The champion's version, or nothing."""
    try:
        return resolve(f"models:/{name}@champion").version.removeprefix(f"{name}/")
    except InputRejected as error:
        if error.reason is not Reason.MODEL_NOT_FOUND:
            raise
        return ""


def run(arguments: PromoteModel, context: StepContext) -> StepOutput:
    registered, compared = load_result(arguments.registered), load_result(arguments.comparison)
    name, version = registered.labels["name"], registered.labels["version"]
    before = _champion(name)
    decision, reason = compared.labels["decision"], compared.labels["reason"]
    if before == version:
        promoted, reason = "already", f"version {version} is the champion"
    elif arguments.promote is Promotion.NO:
        promoted, reason = "no", f"{arguments.decided_by} said no; the rule: {reason}"
    elif arguments.promote is Promotion.IF_BETTER and decision != "promote":
        promoted = "no"
    else:
        promoted, reason = _promote(arguments, name, version, reason)
    serving = before if promoted == "no" else version
    labels = {
        "promoted": promoted,
        "reason": reason,
        "decision": decision,
        "decided_by": arguments.decided_by,
        "champion": f"models:/{name}/{serving}" if serving else "",
        "champion_before": before,
    }
    context.publish(PROMOTION, canonical_json(labels))
    if promoted != "no":
        # Said again when a step that had moved the alias is run again.
        kafka.publish(
            ModelPromoted(
                produced_at=datetime.now(UTC),
                name=name,
                version=version,
                before=before if promoted == "yes" else "",
                decided_by=arguments.decided_by,
                because=reason,
            )
        )
    return StepOutput(labels=labels)


def _promote(arguments: PromoteModel, name: str, version: str, reason: str) -> tuple[str, str]:
    from training import tracking
    from training.registry import versions

    client = tracking.connect()
    found = versions.get_version(client, name, int(version))
    rolled_back = found.tags.get(versions.ROLLED_BACK_BY)
    if rolled_back and arguments.promote is Promotion.IF_BETTER:
        return "no", f"version {version} was rolled back by {rolled_back}: only a person promotes it again"
    by_person = arguments.promote is Promotion.YES
    because = f"{arguments.decided_by} said yes; the rule: {reason}" if by_person else reason
    versions.promote(client, name, int(version), arguments.decided_by, because)
    return "yes", because
