"""The promotion rule, as a pure function of two evaluations of the same utterances.

A challenger is promoted when all of these hold:
- its word error rate is lower with 95 % confidence, by a paired bootstrap and by Student's t with the bootstrap's
  deviation. Resamples of a handful of programmes alone are overconfident: of 8 to 15, equal models pass in 7 to 9 %;
- no slice of the split regressed by more than its bound. Small slices have a wide bound each, and the usual one when
  pooled. The more slices of a kind, the higher the confidence required of each (Bonferroni); otherwise chance would
  stop every promotion on a split of many programmes;
- it hallucinates no more words than the champion in silence, and in noise and music no more than a small allowance,
  which does not accumulate over promotions;
- out of domain, on a dataset that neither was fine-tuned on, it did not regress by more than the same bound (if such a
  dataset is given);
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
from training.evaluation.resampling import choose_unit, sum_by_unit
from training.evaluation.slices import slice_indices
from training.scoring.bootstrap import N_SLICE_RESAMPLES, paired_difference

CONFIDENCE = 0.95
MIN_UTTERANCES = 20  # fewer give too few distinct resamples
MIN_SLICE_WORDS = 100
MIN_SMALL_SLICE_WORDS = 20  # smaller slices are compared only when pooled
SMALL_SLICE_ABSOLUTE = 0.40  # eight words of twenty: more than chance, but reached when a slice is sacrificed
POOLED = "all small slices"
SLICE_ABSOLUTE = 0.01
SLICE_RELATIVE = 0.10
MIN_SPEED_RATIO = 0.5  # of the champion's RTFx
INVENTED_ALLOWANCE_PER_MINUTE = 6.0  # a word or two by chance in the minute of test sounds; speech has 150 per minute
MAX_INVENTED_PER_MINUTE = 12.0  # refused above this, unless the champion hallucinates as many


@dataclass(frozen=True)
class Contender:
    """One side of a comparison."""

    evaluation: Evaluation
    utterances: Sequence[ScoredUtterance]
    out_of_domain: Sequence[ScoredUtterance] = field(default=())
    rtfx: float = 0.0
    hardware: str = ""
    is_fallback: bool = False
    """Scored in place of a champion that does not exist yet: its speed is no bar."""


def compare(ours: Contender, theirs: Contender, min_speed_ratio: float = MIN_SPEED_RATIO) -> Comparison:
    """Apply the rule to challenger (`ours`) and champion (`theirs`), both on the same utterances in the same order."""
    comparison = _measure(ours, theirs)
    if ours.evaluation.model_digest == theirs.evaluation.model_digest:
        return comparison.model_copy(
            update={"decision": Decision.SAME, "reasons": ("challenger and champion are the same model",)}
        )
    objections = tuple(_objections(comparison, len(theirs.utterances)))
    speed_matters = comparison.same_hardware and not theirs.is_fallback
    if speed_matters and ours.rtfx < min_speed_ratio * theirs.rtfx:
        objections += (f"too slow: {ours.rtfx:.1f} times real time, the champion {theirs.rtfx:.1f}",)
    if objections:
        return comparison.model_copy(update={"reasons": objections})
    return comparison.model_copy(update={"decision": Decision.PROMOTE, "reasons": (_in_favour(comparison),)})


def _measure(ours: Contender, theirs: Contender) -> Comparison:
    """Compute all figures of the comparison, undecided."""
    challenger, champion = ours.evaluation, theirs.evaluation
    programmes = [u.programme_id for u in theirs.utterances]
    our_errors, their_errors, lengths = sum_by_unit(  # (n_units,) each
        programmes,
        [u.words.errors for u in ours.utterances],
        [u.words.errors for u in theirs.utterances],
        [u.words.length for u in theirs.utterances],
    )
    found = paired_difference(our_errors, their_errors, lengths)
    return Comparison(
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
        significant=found.p_better >= CONFIDENCE and -found.difference > _critical_t(len(lengths)) * found.deviation,
        resampled=choose_unit(programmes),
        n_resampled=len(lengths),
        slices=tuple(_compare_slices(ours.utterances, theirs.utterances)),
        challenger_invented_per_minute=challenger.invented_words_per_minute,
        champion_invented_per_minute=champion.invented_words_per_minute,
        challenger_words_in_silence=challenger.words_in_silence,
        champion_words_in_silence=champion.words_in_silence,
        out_of_domain=_compare_subset(ours.out_of_domain, theirs.out_of_domain) if theirs.out_of_domain else None,
        challenger_rtfx=ours.rtfx,
        champion_rtfx=theirs.rtfx,
        same_hardware=ours.hardware == theirs.hardware,
    )


def _objections(found: Comparison, n_utterances: int) -> Iterator[str]:
    """Yield the reasons against promotion."""
    if n_utterances < MIN_UTTERANCES:
        yield f"{n_utterances} utterances are too few to compare on (at least {MIN_UTTERANCES})"
    elif not found.significant:
        share = f"better in {100 * found.p_better:.1f} % of resamples over {found.n_resampled} {found.resampled}s"
        needed = f"{100 * CONFIDENCE:.0f} % needed" if found.p_better < CONFIDENCE else "too few of them"
        yield f"not significantly better: {_rates(found)}, {share}, {needed}"
    for part in found.slices:
        if part.regressed:
            yield (
                f"worse in {part.kind} {part.value}: {100 * part.challenger_wer:.2f} %"
                f" against {100 * part.champion_wer:.2f} %"
            )
    if found.challenger_words_in_silence > found.champion_words_in_silence:
        yield (
            f"hallucinates in silence: {found.challenger_words_in_silence} words,"
            f" the champion {found.champion_words_in_silence}"
        )
    before = found.champion_invented_per_minute
    allowed = max(before, min(before + INVENTED_ALLOWANCE_PER_MINUTE, MAX_INVENTED_PER_MINUTE))
    if found.challenger_invented_per_minute > allowed:
        yield (
            f"hallucinates in non-speech: {found.challenger_invented_per_minute:.1f} words a minute,"
            f" the champion {found.champion_invented_per_minute:.1f}"
        )
    if found.out_of_domain and found.out_of_domain.regressed:
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
    """Compare every slice with enough words to be compared by itself and, by kind, all small slices pooled."""
    kinds: dict[SliceKind, dict[str, list[int]]] = defaultdict(dict)
    for (kind, value), indices in slice_indices(champion).items():
        kinds[kind][value] = list(indices)
    for kind, slices in kinds.items():
        n_words = {value: sum(champion[i].words.length for i in indices) for value, indices in slices.items()}
        small = [slices[value] for value, n in n_words.items() if n < MIN_SLICE_WORDS]
        tested = {value: slices[value] for value, n in n_words.items() if n >= MIN_SMALL_SLICE_WORDS}
        if len(small) > 1:
            tested[POOLED] = list(itertools.chain(*small))
        for value, indices in tested.items():
            is_small = n_words.get(value, MIN_SLICE_WORDS) < MIN_SLICE_WORDS
            part = _compare_subset(
                [challenger[i] for i in indices],
                [champion[i] for i in indices],
                min_bound=SMALL_SLICE_ABSOLUTE if is_small else SLICE_ABSOLUTE,
                n_tests=len(tested),
            )
            yield SliceComparison(kind=kind, value=value, **part.model_dump())


def _compare_subset(
    challenger: Sequence[ScoredUtterance],
    champion: Sequence[ScoredUtterance],
    min_bound: float = SLICE_ABSOLUTE,
    n_tests: int = 1,
) -> PartComparison:
    """Compare both models on the same utterances, as one of `n_tests` subsets tested.

    The bound guards against a model that improved on average by sacrificing a subset. Requiring significance too keeps
    chance in small subsets from stopping every promotion. Resamples alone do not reach far enough into the tail for
    many subsets, so Student's t with their deviation is required as well.
    """
    ours, theirs = (np.array([u.words.errors for u in side]) for side in (challenger, champion))  # (n_utterances,)
    lengths = np.array([u.words.length for u in champion])  # (n_utterances,)
    found = paired_difference(ours, theirs, lengths, n_resamples=N_SLICE_RESAMPLES)
    n_words = int(lengths.sum())
    champion_wer = float(theirs.sum() / max(n_words, 1))
    bound = max(min_bound, SLICE_RELATIVE * champion_wer)
    p_worse = 1 - found.p_better
    significant = p_worse >= CONFIDENCE and found.difference > _critical_t(len(lengths), n_tests) * found.deviation
    return PartComparison(
        reference_words=n_words,
        challenger_wer=float(ours.sum() / max(n_words, 1)),
        champion_wer=champion_wer,
        p_worse=p_worse,
        regressed=found.difference > bound and significant,
    )


def _critical_t(n_units: int, n_tests: int = 1) -> float:
    """Return the one-sided critical value of Student's t at `CONFIDENCE`, Bonferroni-corrected for `n_tests`."""
    from scipy.stats import t

    return float(t.ppf(1 - (1 - CONFIDENCE) / n_tests, n_units - 1)) if n_units > 1 else float("inf")
