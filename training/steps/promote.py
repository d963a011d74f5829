"""`promote-model`: move the `champion` alias to a registered version, if rule or reviewer decide so.

A cached result must not hide a rollback: it is reused only while this version is the champion. Otherwise the step
decides anew.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

from tasks import kafka
from tasks.contract import InputRejected, Reason, StepResult, canonical_json
from tasks.contract.arguments import PromoteModel, Promotion
from tasks.contract.events import ModelPromoted
from tasks.models import resolve
from tasks.step import StepContext, StepOutput, load_result

VERSION = 1
PROMOTION = "promotion.json"
NOT_COMPARED = "none"  # in place of a comparison's digest, of a model that was not evaluated


def inputs(arguments: PromoteModel) -> dict[str, str]:
    registered = load_result(arguments.registered)
    is_champion = _champion(registered.labels["name"]) == registered.labels["version"]
    return {
        "registered": registered.content_digest,
        "comparison": load_result(arguments.comparison).content_digest if arguments.comparison else NOT_COMPARED,
        "state": "champion already" if is_champion else f"undecided {secrets.token_hex(8)}",
    }


def _champion(name: str) -> str:
    """Return the champion's version, empty where there is none."""
    try:
        return resolve(f"models:/{name}@champion").version.removeprefix(f"{name}/")
    except InputRejected as error:
        if error.reason is not Reason.MODEL_NOT_FOUND:
            raise
        return ""


def run(arguments: PromoteModel, context: StepContext) -> StepOutput:
    registered = load_result(arguments.registered)
    compared = load_result(arguments.comparison) if arguments.comparison else None
    name, version = registered.labels["name"], registered.labels["version"]
    if registered.inputs["comparison"] != (compared.content_digest if compared else NOT_COMPARED):
        raise InputRejected(
            f"not the comparison that {name}/{version} was registered with",
            reason=Reason.INVALID_ARGUMENT,
            subject=arguments.comparison,
            next_step="give the results of one run of the DAG",
        )
    before = _champion(name)
    champion = f"{name}/{before}" if before else ""
    decision, reason = _current_decision(compared, champion) if compared else _without_evaluation(champion)
    if before == version:
        promoted, reason = "already", f"version {version} is the champion"
    else:
        promoted, reason = _promote_or_refuse(arguments, name, int(version), decision, reason)
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
        # Published again when a step that had already moved the alias is retried.
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


def _current_decision(compared: StepResult, champion: str) -> tuple[str, str]:
    """Return the rule's decision and reason: "keep" where another champion serves by now than the one compared with."""
    decision, reason, opponent = (compared.labels[name] for name in ("decision", "reason", "champion"))
    if decision == "promote" and champion and opponent != champion:
        return "keep", f"it was compared with {opponent}, and the champion is {champion} by now"
    return decision, reason


def _without_evaluation(champion: str) -> tuple[str, str]:
    """Return the rule's decision on a model that was compared with nothing: it serves only where no other does."""
    if champion:
        next_step = "give a dataset to compare on, or promote with yes"
        return "keep", f"no dataset was given, so nothing shows that it is better than {champion}: {next_step}"
    return "promote", "there is no champion yet; no dataset was given, so its error rate is not known"


def _promote_or_refuse(arguments: PromoteModel, name: str, version: int, decision: str, reason: str) -> tuple[str, str]:
    """Apply the decision to the registry and record it on the version. Return "yes" or "no", and why."""
    from training.registry import tracking, versions

    client = tracking.connect()
    rolled_back = versions.get_version(client, name, version).tags.get(versions.ROLLED_BACK_BY)
    by_rule = arguments.promote is Promotion.IF_BETTER
    if not by_rule:
        because = f"{arguments.decided_by} decided {arguments.promote}; the rule: {reason}"
    elif rolled_back:
        because = f"version {version} was rolled back by {rolled_back}: only a person promotes it again"
    else:
        because = reason
    if arguments.promote is Promotion.YES or (by_rule and decision == "promote" and not rolled_back):
        versions.promote(client, name, version, arguments.decided_by, because)
        return "yes", because
    versions.refuse(client, name, version, arguments.decided_by, because)
    return "no", because
