"""`compare-models`: decide from two evaluations whether the challenger is significantly better."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.contract import InputRejected, Reason
from tasks.contract.arguments import CompareModels
from tasks.step import StepContext, StepOutput, load_result
from training.evaluation.records import COMPARISON

if TYPE_CHECKING:
    from training.evaluation.promotion import Contender
    from training.evaluation.records import Comparison, Evaluation, SubsetComparison

VERSION = 6
MAX_WORST_SLICES = 3


def inputs(arguments: CompareModels) -> dict[str, str]:
    return {
        "challenger": load_result(arguments.challenger).content_digest,
        "champion": load_result(arguments.champion).content_digest,
    }


def run(arguments: CompareModels, context: StepContext) -> StepOutput:
    from training.evaluation.promotion import compare
    from training.evaluation.records import load_evaluation

    challenger, champion = load_evaluation(arguments.challenger), load_evaluation(arguments.champion)
    _require_comparable(challenger, champion, arguments.challenger)
    comparison = compare(
        _contender(challenger, arguments.challenger, arguments.on_reviewed),
        _contender(champion, arguments.champion, arguments.on_reviewed),
        arguments.slowest_share,
    )
    context.publish(COMPARISON, comparison.model_dump_json(indent=1).encode() + b"\n")
    return _output(comparison, challenger)


def _require_comparable(challenger: Evaluation, champion: Evaluation, subject: str) -> None:
    """Raise InputRejected unless both evaluations are of the same data, scored alike."""
    for name in ("dataset_version", "split", "normaliser"):
        of_challenger, of_champion = getattr(challenger, name), getattr(champion, name)
        if of_challenger != of_champion:
            raise InputRejected(
                f"the evaluations are not comparable: {name} is {of_challenger} in one and {of_champion} in the other",
                reason=Reason.INVALID_ARGUMENT,
                subject=subject,
                next_step="evaluate both models on the same split of the same dataset",
            )
    of_challenger, of_champion = (
        e.out_of_domain.dataset_version if e.out_of_domain else "none" for e in (challenger, champion)
    )
    if of_challenger != of_champion:
        raise InputRejected(
            f"the evaluations are not comparable: the out-of-domain dataset is {of_challenger} in one and {of_champion}"
            " in the other",
            reason=Reason.INVALID_ARGUMENT,
            subject=subject,
            next_step="evaluate both models with the same --out-of-domain",
        )


def _contender(evaluation: Evaluation, uri: str, on_reviewed: bool) -> Contender:
    from training.evaluation.promotion import Contender, only_reviewed
    from training.evaluation.records import OUT_OF_DOMAIN, load_utterances

    result = load_result(uri)
    contender = Contender(
        evaluation,
        list(load_utterances(uri)),
        list(load_utterances(uri, OUT_OF_DOMAIN)),
        result.metrics["rtfx"],
        result.labels["hardware"],
        is_fallback=result.labels["fell_back"] == "yes",
    )
    if not on_reviewed:
        return contender
    if (reviewed := only_reviewed(contender)) is None:
        raise InputRejected(
            "no programme of the test split has been checked by people",
            reason=Reason.NO_INPUT,
            subject=uri,
            next_step="finish reviews of more programmes and build the dataset again, or compare on all of it",
        )
    return reviewed


def _output(comparison: Comparison, challenger: Evaluation) -> StepOutput:
    return StepOutput(
        counts={
            "slices": len(comparison.slices),
            "slices_regressed": sum(part.regressed for part in comparison.slices),
        },
        metrics={
            "challenger_wer": comparison.challenger_wer,
            "champion_wer": comparison.champion_wer,
            "difference": comparison.difference,
            "difference_low": comparison.difference_low,
            "difference_high": comparison.difference_high,
            "p_better": comparison.p_better,
            "challenger_invented_per_minute": comparison.challenger_invented_per_minute,
            "champion_invented_per_minute": comparison.champion_invented_per_minute,
            "challenger_rtfx": comparison.challenger_rtfx,
            "champion_rtfx": comparison.champion_rtfx,
        },
        labels={
            "decision": comparison.decision.value,
            "reason": "; ".join(comparison.reasons),
            "challenger": comparison.challenger,
            "champion": comparison.champion,
            "resampled": f"{comparison.n_units} {comparison.resampling_unit}s",
            "most_worse": _worst_slices(comparison),
            "out_of_domain": _rates(comparison.out_of_domain) if comparison.out_of_domain else "not evaluated",
        },
        warnings=_warnings(comparison, challenger),
    )


def _warnings(comparison: Comparison, challenger: Evaluation) -> tuple[str, ...]:
    from training.evaluation.records import SliceKind

    if comparison.resampling_unit != "utterance":
        return ()
    n_programmes = sum(part.kind is SliceKind.PROGRAMME for part in challenger.slices)
    return (f"{n_programmes} programmes in the test split: significance may not carry over to other programmes",)


def _worst_slices(comparison: Comparison) -> str:
    """List the slices in which the challenger lost most, for the person who decides."""
    worst = sorted(comparison.slices, key=lambda part: part.champion_wer - part.challenger_wer)[:MAX_WORST_SLICES]
    lost = [f"{part.kind} {part.value} {_rates(part)}" for part in worst if part.challenger_wer > part.champion_wer]
    return "; ".join(lost) or "none"


def _rates(part: SubsetComparison) -> str:
    return f"{100 * part.challenger_wer:.2f} % against {100 * part.champion_wer:.2f} %"
