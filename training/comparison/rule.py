"""The rule of promotion, as a pure function of two evaluations of the same utterances.

A challenger is promoted when all of these hold:
- a paired bootstrap says with 95 % that its word error rate is lower;
- no part of the split is worse by more than its bound;
- it hears no more words than the champion in silence, and in noise and music no more but for a small allowance;
- out of domain, on a dataset that neither was fine-tuned on, it is not worse by more than the same bound (if one is
  given);
- it is not many times slower than the champion on the same hardware.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from tasks.contract import Frozen
from training.evaluation.records import Evaluation, ScoredUtterance, SliceKind
from training.evaluation.slices import members
from training.evaluation.units import choose_unit, sum_by_unit
from training.scoring.bootstrap import N_FOR_PARTS, paired_difference

CONFIDENCE = 0.95
MIN_UTTERANCES = 20  # with fewer there is nothing to resample
MIN_SLICE_WORDS = 100
SLICE_ABSOLUTE = 0.01
SLICE_RELATIVE = 0.10
# Of the champion's speed. The two are timed side by side, and a first champion may decode greedily against a challenger
# with a spelling model: what falls below this goes in circles, or is far larger.
SLOWEST_SHARE = 0.05
INVENTED_ALLOWANCE_PER_MINUTE = 6.0  # a word or two by chance in the minute that is listened to; speech has 150


@dataclass(frozen=True)
class Judged:
    """One side of a comparison."""

    evaluation: Evaluation
    utterances: Sequence[ScoredUtterance]
    out_of_domain: Sequence[ScoredUtterance] = field(default=())
    rtfx: float = 0.0
    hardware: str = ""


class Decision(StrEnum):
    PROMOTE = "promote"
    KEEP = "keep"
    SAME = "same"


class PartComparison(Frozen):
    """Both models on some utterances."""

    reference_words: int
    challenger_wer: float
    champion_wer: float
    p_worse: float
    """How sure it is that the challenger is worse here."""
    too_bad: bool
    """Worse by more than the bound, and surely so."""


class SliceComparison(PartComparison):
    """Both models on one part of the split."""

    kind: SliceKind
    value: str


class Comparison(Frozen):
    """`comparison.json`."""

    decision: Decision
    reasons: tuple[str, ...]
    challenger: str
    champion: str
    challenger_wer: float
    champion_wer: float
    difference: float
    """Challenger's rate less champion's: negative is better."""
    difference_low: float
    difference_high: float
    p_better: float
    resampled: str
    n_resampled: int
    slices: tuple[SliceComparison, ...]
    challenger_invented_per_minute: float
    champion_invented_per_minute: float
    challenger_words_in_silence: int
    champion_words_in_silence: int
    out_of_domain: PartComparison | None
    challenger_rtfx: float
    champion_rtfx: float
    same_hardware: bool


def compare(ours: Judged, theirs: Judged) -> Comparison:
    """Apply the rule to challenger and champion. Their lists hold the same utterances in the same order."""
    challenger, champion = ours.evaluation, theirs.evaluation
    programmes = [u.programme_id for u in theirs.utterances]
    our_errors, their_errors, lengths = sum_by_unit(
        programmes,
        [u.words.errors for u in ours.utterances],
        [u.words.errors for u in theirs.utterances],
        [u.words.length for u in theirs.utterances],
    )
    found = paired_difference(our_errors, their_errors, lengths)
    slices = tuple(_compare_slices(ours.utterances, theirs.utterances))
    comparison = Comparison(
        decision=Decision.KEEP,
        reasons=(),
        challenger=challenger.model_version,
        champion=champion.model_version,
        challenger_wer=challenger.wer.value,
        champion_wer=champion.wer.value,
        difference=found.difference,
        difference_low=found.low,
        difference_high=found.high,
        p_better=found.p_better,
        resampled=choose_unit(programmes),
        n_resampled=len(lengths),
        slices=slices,
        challenger_invented_per_minute=challenger.invented_words_per_minute,
        champion_invented_per_minute=champion.invented_words_per_minute,
        challenger_words_in_silence=challenger.words_in_silence,
        champion_words_in_silence=champion.words_in_silence,
        out_of_domain=_compare_part(ours.out_of_domain, theirs.out_of_domain) if theirs.out_of_domain else None,
        challenger_rtfx=ours.rtfx,
        champion_rtfx=theirs.rtfx,
        same_hardware=ours.hardware == theirs.hardware,
    )
    if challenger.model_digest == champion.model_digest:
        return comparison.model_copy(
            update={"decision": Decision.SAME, "reasons": ("challenger and champion are the same model",)}
        )
    against = tuple(_reasons_against(comparison, len(theirs.utterances)))
    if against:
        return comparison.model_copy(update={"reasons": against})
    return comparison.model_copy(update={"decision": Decision.PROMOTE, "reasons": (_in_favour(comparison),)})


def _reasons_against(found: Comparison, n_utterances: int) -> Iterator[str]:
    if n_utterances < MIN_UTTERANCES:
        yield f"{n_utterances} utterances are too few to tell (at least {MIN_UTTERANCES})"
    elif found.p_better < CONFIDENCE:
        yield (
            f"not surely better: {_rates(found)}, better in {100 * found.p_better:.1f} % of resamples"
            f" over {found.n_resampled} {found.resampled}s, {100 * CONFIDENCE:.0f} % are needed"
        )
    for part in found.slices:
        if part.too_bad:
            yield (
                f"worse in {part.kind} {part.value}: {100 * part.challenger_wer:.2f} %"
                f" against {100 * part.champion_wer:.2f} %"
            )
    if found.challenger_words_in_silence > found.champion_words_in_silence:
        yield (
            f"hears {found.challenger_words_in_silence} words in silence,"
            f" the champion {found.champion_words_in_silence}"
        )
    allowed = found.champion_invented_per_minute + INVENTED_ALLOWANCE_PER_MINUTE
    if found.challenger_invented_per_minute > allowed:
        yield (
            f"hears {found.challenger_invented_per_minute:.1f} words a minute where nobody speaks,"
            f" the champion {found.champion_invented_per_minute:.1f}"
        )
    if found.out_of_domain and found.out_of_domain.too_bad:
        yield (
            f"worse out of domain: {100 * found.out_of_domain.challenger_wer:.2f} %"
            f" against {100 * found.out_of_domain.champion_wer:.2f} %"
        )
    if found.same_hardware and found.challenger_rtfx < SLOWEST_SHARE * found.champion_rtfx:
        yield f"too slow: {found.challenger_rtfx:.1f} times real time, the champion {found.champion_rtfx:.1f}"


def _in_favour(found: Comparison) -> str:
    share = f"in {100 * found.p_better:.1f} % of resamples over {found.n_resampled} {found.resampled}s"
    return f"better: {_rates(found)}, {share}"


def _rates(found: Comparison) -> str:
    return f"WER {100 * found.challenger_wer:.2f} % against {100 * found.champion_wer:.2f} %"


def _compare_slices(
    challenger: Sequence[ScoredUtterance], champion: Sequence[ScoredUtterance]
) -> Iterator[SliceComparison]:
    """Every part with enough words to say anything."""
    for (kind, value), places in members(champion).items():
        if sum(champion[p].words.length for p in places) >= MIN_SLICE_WORDS:
            part = _compare_part([challenger[p] for p in places], [champion[p] for p in places])
            yield SliceComparison(kind=kind, value=value, **part.model_dump())


def _compare_part(challenger: Sequence[ScoredUtterance], champion: Sequence[ScoredUtterance]) -> PartComparison:
    """Both on the same utterances. The bound guards against a model that got better on average by giving up a part;
    asking for certainty too keeps chance in small parts from stopping every promotion."""
    ours, theirs = (np.array([u.words.errors for u in side]) for side in (challenger, champion))
    lengths = np.array([u.words.length for u in champion])
    found = paired_difference(ours, theirs, lengths, n_resamples=N_FOR_PARTS)
    n_words = int(lengths.sum())
    champion_wer = float(theirs.sum() / max(n_words, 1))
    bound = max(SLICE_ABSOLUTE, SLICE_RELATIVE * champion_wer)
    p_worse = 1 - found.p_better
    return PartComparison(
        reference_words=n_words,
        challenger_wer=float(ours.sum() / max(n_words, 1)),
        champion_wer=champion_wer,
        p_worse=p_worse,
        too_bad=found.difference > bound and p_worse >= CONFIDENCE,
    )
