"""The rule of promotion, as a pure function of two evaluations of the same utterances.

A challenger is promoted when all of these hold:
- a paired bootstrap says with 95 % that its word error rate is lower, and so does Student's distribution with its
  deviation: resamples of a handful of programmes alone are too sure (of 8 to 15, equal models pass in 7 to 9 %);
- no part of the split is worse by more than its bound; parts of few words have a wide one each, and the usual one
  together; the more parts of a kind, the surer it has to be of each (Bonferroni), or chance would stop every promotion
  on a split of many programmes;
- it hears no more words than the champion in silence, and in noise and music no more but for a small allowance, which
  does not add up from one promotion to the next;
- out of domain, on a dataset that neither was fine-tuned on, it is not worse by more than the same bound (if one is
  given);
- it is not much slower than the champion on the same hardware.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from training.evaluation.records import (
    Comparison,
    Decision,
    Evaluation,
    PartComparison,
    ScoredUtterance,
    SliceComparison,
    SliceKind,
)
from training.evaluation.slices import members
from training.evaluation.units import choose_unit, sum_by_unit
from training.scoring.bootstrap import N_FOR_PARTS, paired_difference

CONFIDENCE = 0.95
MIN_UTTERANCES = 20  # with fewer there is nothing to resample
MIN_SLICE_WORDS = 100
MIN_SMALL_SLICE_WORDS = 20  # fewer are looked at together with others only
SMALL_SLICE_ABSOLUTE = 0.40  # eight words of twenty: chance does not do that, giving a part up does
POOLED = "all the small ones"
SLICE_ABSOLUTE = 0.01
SLICE_RELATIVE = 0.10
SLOWEST_SHARE = 0.5  # of the champion's speed
INVENTED_ALLOWANCE_PER_MINUTE = 6.0  # a word or two by chance in the minute that is listened to; speech has 150
MOST_INVENTED_PER_MINUTE = 12.0  # more is refused, unless the champion invents as many


@dataclass(frozen=True)
class Judged:
    """One side of a comparison."""

    evaluation: Evaluation
    utterances: Sequence[ScoredUtterance]
    out_of_domain: Sequence[ScoredUtterance] = field(default=())
    rtfx: float = 0.0
    hardware: str = ""
    stands_in: bool = False
    """For a champion that there is not yet: nothing serves that could get slower."""


def compare(ours: Judged, theirs: Judged, slowest_share: float = SLOWEST_SHARE) -> Comparison:
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
        is_sure=found.p_better >= CONFIDENCE and -found.difference > _deviations(len(lengths)) * found.deviation,
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
    can_be_slow = theirs.stands_in or not comparison.same_hardware
    if not can_be_slow and ours.rtfx < slowest_share * theirs.rtfx:
        against += (f"too slow: {ours.rtfx:.1f} times real time, the champion {theirs.rtfx:.1f}",)
    if against:
        return comparison.model_copy(update={"reasons": against})
    return comparison.model_copy(update={"decision": Decision.PROMOTE, "reasons": (_in_favour(comparison),)})


def _reasons_against(found: Comparison, n_utterances: int) -> Iterator[str]:
    if n_utterances < MIN_UTTERANCES:
        yield f"{n_utterances} utterances are too few to tell (at least {MIN_UTTERANCES})"
    elif not found.is_sure:
        share = f"better in {100 * found.p_better:.1f} % of resamples over {found.n_resampled} {found.resampled}s"
        lacking = f"{100 * CONFIDENCE:.0f} % are needed" if found.p_better < CONFIDENCE else "more of them are needed"
        yield f"not surely better: {_rates(found)}, {share}, {lacking}"
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
    before = found.champion_invented_per_minute
    allowed = max(before, min(before + INVENTED_ALLOWANCE_PER_MINUTE, MOST_INVENTED_PER_MINUTE))
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


def _in_favour(found: Comparison) -> str:
    share = f"in {100 * found.p_better:.1f} % of resamples over {found.n_resampled} {found.resampled}s"
    return f"better: {_rates(found)}, {share}"


def _rates(found: Comparison) -> str:
    return f"WER {100 * found.challenger_wer:.2f} % against {100 * found.champion_wer:.2f} %"


def _compare_slices(
    challenger: Sequence[ScoredUtterance], champion: Sequence[ScoredUtterance]
) -> Iterator[SliceComparison]:
    """Every part with enough words to say anything by itself, and by kind the others together."""
    kinds: dict[SliceKind, dict[str, list[int]]] = defaultdict(dict)
    for (kind, value), places in members(champion).items():
        kinds[kind][value] = list(places)
    for kind, slices in kinds.items():
        n_words = {value: sum(champion[p].words.length for p in places) for value, places in slices.items()}
        small = [slices[value] for value, n in n_words.items() if n < MIN_SLICE_WORDS]
        looked_at = {value: slices[value] for value, n in n_words.items() if n >= MIN_SMALL_SLICE_WORDS}
        if len(small) > 1:
            looked_at[POOLED] = list(itertools.chain(*small))
        for value, places in looked_at.items():
            is_small = n_words.get(value, MIN_SLICE_WORDS) < MIN_SLICE_WORDS
            part = _compare_part(
                [challenger[p] for p in places],
                [champion[p] for p in places],
                least=SMALL_SLICE_ABSOLUTE if is_small else SLICE_ABSOLUTE,
                n_alike=len(looked_at),
            )
            yield SliceComparison(kind=kind, value=value, **part.model_dump())


def _compare_part(
    challenger: Sequence[ScoredUtterance],
    champion: Sequence[ScoredUtterance],
    least: float = SLICE_ABSOLUTE,
    n_alike: int = 1,
) -> PartComparison:
    """Both on the same utterances, one of `n_alike` parts.

    The bound guards against a model that got better on average by giving up a part; asking for certainty too keeps
    chance in small parts from stopping every promotion. Resamples alone do not reach far enough into the tail for many
    parts: Student's distribution with their deviation counts too.
    """
    ours, theirs = (np.array([u.words.errors for u in side]) for side in (challenger, champion))
    lengths = np.array([u.words.length for u in champion])
    found = paired_difference(ours, theirs, lengths, n_resamples=N_FOR_PARTS)
    n_words = int(lengths.sum())
    champion_wer = float(theirs.sum() / max(n_words, 1))
    bound = max(least, SLICE_RELATIVE * champion_wer)
    p_worse = 1 - found.p_better
    is_sure = p_worse >= CONFIDENCE and found.difference > _deviations(len(lengths), n_alike) * found.deviation
    return PartComparison(
        reference_words=n_words,
        challenger_wer=float(ours.sum() / max(n_words, 1)),
        champion_wer=champion_wer,
        p_worse=p_worse,
        too_bad=found.difference > bound and is_sure,
    )


def _deviations(n_units: int, n_alike: int = 1) -> float:
    """How many standard deviations from zero a difference must be, to be sure of it in one of so many parts."""
    from scipy.stats import t

    return float(t.ppf(1 - (1 - CONFIDENCE) / n_alike, n_units - 1)) if n_units > 1 else float("inf")
