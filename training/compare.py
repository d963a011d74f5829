"""`compare-models`: decide from two evaluations whether the challenger is really better."""

from __future__ import annotations

from tasks.contract import InputRejected, Reason
from tasks.contract.arguments import CompareModels
from tasks.step import StepContext, StepOutput, load_result

VERSION = 1
COMPARISON = "comparison.json"


def inputs(arguments: CompareModels) -> dict[str, str]:
    return {
        "challenger": load_result(arguments.challenger).content_digest,
        "champion": load_result(arguments.champion).content_digest,
    }


def run(arguments: CompareModels, context: StepContext) -> StepOutput:
    from training.comparison.rule import compare
    from training.evaluation.records import SliceKind, load_evaluation, load_utterances

    challenger, champion = load_evaluation(arguments.challenger), load_evaluation(arguments.champion)
    for what in ("dataset_version", "split", "normaliser"):
        ours, theirs = getattr(challenger, what), getattr(champion, what)
        if ours != theirs:
            raise InputRejected(
                f"the two evaluations do not compare: {what} is {ours} in one and {theirs} in the other",
                reason=Reason.INVALID_ARGUMENT,
                subject=arguments.challenger,
                next_step="evaluate both models on the same split of the same dataset",
            )
    found = compare(
        challenger, champion, list(load_utterances(arguments.challenger)), list(load_utterances(arguments.champion))
    )
    n_programmes = sum(part.kind is SliceKind.PROGRAMME for part in challenger.slices)
    warnings: tuple[str, ...] = ()
    if found.resampled == "utterance":
        warnings = (
            f"{n_programmes} programmes in the test split: what is sure here may not hold for other programmes",
        )
    context.publish(COMPARISON, found.model_dump_json(indent=1).encode() + b"\n")
    return StepOutput(
        counts={"slices": len(found.slices), "slices_too_bad": sum(part.too_bad for part in found.slices)},
        metrics={
            "challenger_wer": found.challenger_wer,
            "champion_wer": found.champion_wer,
            "difference": found.difference,
            "difference_low": found.difference_low,
            "difference_high": found.difference_high,
            "p_better": found.p_better,
        },
        labels={
            "decision": found.decision.value,
            "reason": "; ".join(found.reasons),
            "challenger": found.challenger,
            "champion": found.champion,
            "resampled": f"{found.n_resampled} {found.resampled}s",
        },
        warnings=warnings,
    )
