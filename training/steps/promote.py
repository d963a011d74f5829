"""`promote-model`: move the `champion` alias to a registered version, if it deserves it.

Nothing cached may hide a rollback: a result is reused only while this version is the champion. Whenever it is not,
the step looks again and decides again.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

from tasks import kafka
from tasks.contract import InputRejected, Reason, canonical_json
from tasks.contract.arguments import PromoteModel, Promotion
from tasks.contract.events import ModelPromoted
from tasks.models import resolve
from tasks.step import StepContext, StepOutput, load_result

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
    if registered.inputs["comparison"] != compared.content_digest:
        raise InputRejected(
            f"it is not the comparison that {name}/{version} was registered with",
            reason=Reason.INVALID_ARGUMENT,
            subject=arguments.comparison,
            next_step="give the results of one run of the DAG",
        )
    if decision == "promote" and before and compared.labels["champion"] != f"{name}/{before}":
        decision = "keep"
        reason = f"it was compared with {compared.labels['champion']}, and the champion is {name}/{before} by now"
    if before == version:
        promoted, reason = "already", f"version {version} is the champion"
    else:
        promoted, reason = _decide(arguments, name, int(version), decision, reason)
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


def _decide(arguments: PromoteModel, name: str, version: int, decision: str, reason: str) -> tuple[str, str]:
    """Yes or no, and why; the version says so too."""
    from training.registry import tracking, versions

    client = tracking.connect()
    rolled_back = versions.get_version(client, name, version).tags.get(versions.ROLLED_BACK_BY)
    by_rule = arguments.promote is Promotion.IF_BETTER
    if not by_rule:
        because = f"{arguments.decided_by} said {arguments.promote}; the rule: {reason}"
    elif rolled_back:
        because = f"version {version} was rolled back by {rolled_back}: only a person promotes it again"
    else:
        because = reason
    if arguments.promote is Promotion.YES or (by_rule and decision == "promote" and not rolled_back):
        versions.promote(client, name, version, arguments.decided_by, because)
        return "yes", because
    versions.refuse(client, name, version, arguments.decided_by, because)
    return "no", because
