"""The rule of promotion, as a pure function of two evaluations of the same utterances.

A challenger is promoted when all of these hold:
- a paired bootstrap says with 95 % that its word error rate is lower;
- no part of the split is worse by more than its bound;
- it invents no more words than the champion in sounds that hold no speech, but for a small allowance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
INVENTED_ALLOWANCE_PER_MINUTE = 6.0  # a word or two by chance in the minute that is listened to; speech has 150


class Decision(StrEnum):
    PROMOTE = "promote"
    KEEP = "keep"
    SAME = "same"


class SliceComparison(Frozen):
    """Both models on one part of the split."""

    kind: SliceKind
    value: str
    reference_words: int
    challenger_wer: float
    champion_wer: float
    p_worse: float
    """How sure it is that the challenger is worse here."""
    too_bad: bool
    """Worse by more than the bound, and surely so."""


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


def compare(
    challenger: Evaluation,
    champion: Evaluation,
    challenger_utterances: Sequence[ScoredUtterance],
    champion_utterances: Sequence[ScoredUtterance],
) -> Comparison:
    """Apply the rule. Both lists hold the same utterances in the same order."""
    programmes = [u.programme_id for u in champion_utterances]
    ours, theirs, lengths = sum_by_unit(
        programmes,
        [u.words.errors for u in challenger_utterances],
        [u.words.errors for u in champion_utterances],
        [u.words.length for u in champion_utterances],
    )
    found = paired_difference(ours, theirs, lengths)
    slices = tuple(_compare_slices(challenger_utterances, champion_utterances))
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
    )
    if challenger.model_digest == champion.model_digest:
        return comparison.model_copy(
            update={"decision": Decision.SAME, "reasons": ("challenger and champion are the same model",)}
        )
    against = tuple(_reasons_against(comparison, len(champion_utterances)))
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
    allowed = found.champion_invented_per_minute + INVENTED_ALLOWANCE_PER_MINUTE
    if found.challenger_invented_per_minute > allowed:
        yield (
            f"hears {found.challenger_invented_per_minute:.1f} words a minute where nobody speaks,"
            f" the champion {found.champion_invented_per_minute:.1f}"
        )


def _in_favour(found: Comparison) -> str:
    share = f"in {100 * found.p_better:.1f} % of resamples over {found.n_resampled} {found.resampled}s"
    return f"better: {_rates(found)}, {share}"


def _rates(found: Comparison) -> str:
    return f"WER {100 * found.challenger_wer:.2f} % against {100 * found.champion_wer:.2f} %"


def _compare_slices(
    challenger: Sequence[ScoredUtterance], champion: Sequence[ScoredUtterance]
) -> Iterator[SliceComparison]:
    """Every part with enough words to say anything. The bound guards against a model that got better on average by
    giving up a part; asking for certainty too keeps chance in small parts from stopping every promotion."""
    errors = np.array([[u.words.errors for u in challenger], [u.words.errors for u in champion]])
    lengths = np.array([u.words.length for u in champion])
    for (kind, value), places in members(champion).items():
        n_words = int(lengths[places].sum())
        if n_words < MIN_SLICE_WORDS:
            continue
        ours, theirs = errors[0, places], errors[1, places]
        found = paired_difference(ours, theirs, lengths[places], n_resamples=N_FOR_PARTS)
        champion_wer = float(theirs.sum() / n_words)
        bound = max(SLICE_ABSOLUTE, SLICE_RELATIVE * champion_wer)
        p_worse = 1 - found.p_better
        yield SliceComparison(
            kind=kind,
            value=value,
            reference_words=n_words,
            challenger_wer=float(ours.sum() / n_words),
            champion_wer=champion_wer,
            p_worse=p_worse,
            too_bad=found.difference > bound and p_worse >= CONFIDENCE,
        )
