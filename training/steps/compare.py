"""`compare-models`: decide from two evaluations whether the challenger is really better."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.contract import InputRejected, Reason
from tasks.contract.arguments import CompareModels
from tasks.step import StepContext, StepOutput, load_result
from training.evaluation.records import COMPARISON

if TYPE_CHECKING:
    from training.evaluation.promotion import Judged
    from training.evaluation.records import Comparison, Evaluation, PartComparison

VERSION = 4
MOST_WORSE = 3


def inputs(arguments: CompareModels) -> dict[str, str]:
    return {
        "challenger": load_result(arguments.challenger).content_digest,
        "champion": load_result(arguments.champion).content_digest,
    }


def run(arguments: CompareModels, context: StepContext) -> StepOutput:
    from training.evaluation.promotion import compare
    from training.evaluation.records import SliceKind, load_evaluation

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
    guards = [e.out_of_domain.dataset_version if e.out_of_domain else "none" for e in (challenger, champion)]
    if guards[0] != guards[1]:
        raise InputRejected(
            f"the two evaluations do not compare: out of domain, one heard {guards[0]} and the other {guards[1]}",
            reason=Reason.INVALID_ARGUMENT,
            subject=arguments.challenger,
            next_step="evaluate both models with the same --out-of-domain",
        )
    found = compare(
        _judged(challenger, arguments.challenger), _judged(champion, arguments.champion), arguments.slowest_share
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
            "challenger_invented_per_minute": found.challenger_invented_per_minute,
            "champion_invented_per_minute": found.champion_invented_per_minute,
            "challenger_rtfx": found.challenger_rtfx,
            "champion_rtfx": found.champion_rtfx,
        },
        labels={
            "decision": found.decision.value,
            "reason": "; ".join(found.reasons),
            "challenger": found.challenger,
            "champion": found.champion,
            "resampled": f"{found.n_resampled} {found.resampled}s",
            "most_worse": most_worse(found),
            "out_of_domain": _both(found.out_of_domain) if found.out_of_domain else "not looked at",
        },
        warnings=warnings,
    )


def _judged(evaluation: Evaluation, uri: str) -> Judged:
    from training.evaluation.promotion import Judged
    from training.evaluation.records import OUT_OF_DOMAIN, load_utterances

    result = load_result(uri)
    return Judged(
        evaluation,
        list(load_utterances(uri)),
        list(load_utterances(uri, OUT_OF_DOMAIN)),
        result.metrics["rtfx"],
        result.labels["hardware"],
        stands_in=result.labels["fell_back"] == "yes",
    )


def most_worse(found: Comparison) -> str:
    """The parts of the split in which the challenger lost most, for a person who decides."""
    worse = sorted(found.slices, key=lambda part: part.champion_wer - part.challenger_wer)[:MOST_WORSE]
    lost = [f"{part.kind} {part.value} {_both(part)}" for part in worse if part.challenger_wer > part.champion_wer]
    return "; ".join(lost) or "none"


def _both(part: PartComparison) -> str:
    return f"{100 * part.challenger_wer:.2f} % against {100 * part.champion_wer:.2f} %"
