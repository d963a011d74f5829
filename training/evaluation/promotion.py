"""The promotion rule, as a pure function of two evaluations of the same utterances.

A challenger is promoted when all of these hold:
- its word error rate is lower with 95 % confidence, both by a paired bootstrap and by a t-test with the bootstrap's
  standard error. The bootstrap alone is overconfident with few units: with 8 to 15 programmes it passes two equal
  models in 7 to 9 % of cases instead of 5 %;
- no slice of the split is significantly worse, and by more than its bound (an increase of the WER). A small slice
  (under 100 words) has a wide bound; all small slices of a kind are also compared together, with the usual one.
  Significance is Bonferroni-corrected for the number of slices of a kind: otherwise, with many programmes, chance would
  stop every promotion;
- in silence it hallucinates no more words than the champion; over all sounds without speech it may exceed the champion
  by a small allowance, but only up to a fixed maximum, so that the rate cannot grow from promotion to promotion;
- out of domain, on a dataset that neither was fine-tuned on, it is not significantly worse by more than the same bound
  (if such a dataset is given);
- it is not much slower than the champion on the same hardware.

Without a champion, it is compared with the base model; an imported model, which has none, only with a maximum WER.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tasks.dataset.manifest import REVIEWED_PREFIX
from training.evaluation.measure import rate_intervals
from training.evaluation.records import (
    Comparison,
    Decision,
    Evaluation,
    ScoredUtterance,
    SliceComparison,
    SliceKind,
    SubsetComparison,
)
from training.evaluation.resampling import choose_unit, sum_by_unit
from training.evaluation.slices import slice_indices
from training.scoring.bootstrap import N_SLICE_RESAMPLES, paired_difference

CONFIDENCE = 0.95
MIN_UTTERANCES = 20  # fewer give too few distinct resamples
MIN_SLICE_WORDS = 100  # slices with fewer are small
MIN_SMALL_SLICE_WORDS = 20  # smaller slices are compared only when pooled
POOLED = "all small slices"
MAX_SLICE_WER_INCREASE = 0.01  # absolute
MAX_SLICE_RELATIVE_WER_INCREASE = 0.10  # as a share of the champion's WER; the larger of the two is the bound
# Allowed increase of a small slice's WER, absolute: 8 more errors in 20 words are more than chance, but fewer than a
# model makes on a slice that it no longer recognises.
MAX_SMALL_SLICE_WER_INCREASE = 0.40
MIN_SPEED_RATIO = 0.5  # the challenger's RTFx over the champion's
HALLUCINATION_ALLOWANCE_PER_MINUTE = 6.0  # 15 words in the 150 s of test sounds; speech has about 150 per minute
MAX_FIRST_WER = 0.5  # of a first champion that is compared with itself, as an imported model is
MAX_HALLUCINATIONS_PER_MINUTE = 12.0  # above this a challenger is refused, unless the champion hallucinates as many


@dataclass(frozen=True)
class Contender:
    """One side of a comparison."""

    evaluation: Evaluation
    utterances: Sequence[ScoredUtterance]
    out_of_domain: Sequence[ScoredUtterance] = field(default=())
    rtfx: float = 0.0
    hardware: str = ""
    is_fallback: bool = False
    """Scored because there is no champion yet; its speed is not compared."""


def only_reviewed(contender: Contender) -> Contender | None:
    """Return the contender on the programmes that people have checked; None if there are none."""
    utterances = [u for u in contender.utterances if u.programme_id.startswith(REVIEWED_PREFIX)]
    if not utterances:
        return None
    wer, cer = rate_intervals(utterances)
    evaluation = contender.evaluation.model_copy(update={"wer": wer, "cer": cer})
    return replace(contender, evaluation=evaluation, utterances=utterances)


def compare(challenger: Contender, champion: Contender, min_speed_ratio: float = MIN_SPEED_RATIO) -> Comparison:
    """Apply the rule to challenger and champion, both scored on the same utterances in the same order."""
    comparison = _measure(challenger, champion)
    if challenger.evaluation.model_digest == champion.evaluation.model_digest:
        if champion.is_fallback:
            return comparison.model_copy(update=_first_decision(comparison))
        return comparison.model_copy(
            update={"decision": Decision.SAME, "reasons": ("challenger and champion are the same model",)}
        )
    objections = tuple(_objections(comparison, len(champion.utterances)))
    speed_matters = comparison.same_hardware and not champion.is_fallback
    if speed_matters and challenger.rtfx < min_speed_ratio * champion.rtfx:
        objections += (f"too slow: {challenger.rtfx:.1f} times real time, the champion {champion.rtfx:.1f}",)
    if objections:
        return comparison.model_copy(update={"reasons": objections})
    return comparison.model_copy(update={"decision": Decision.PROMOTE, "reasons": (_rates(comparison),)})


def _first_decision(comparison: Comparison) -> dict[str, object]:
    """Decide on a model that there is nothing to compare with: it serves, unless it is of no use."""
    wer = f"WER {100 * comparison.challenger_wer:.2f} %"
    if comparison.challenger_wer > MAX_FIRST_WER:
        most = f"{100 * MAX_FIRST_WER:.0f} % at most: is it a model for this language?"
        return {"decision": Decision.KEEP, "reasons": (f"there is no champion yet, but {wer} is too high ({most})",)}
    return {"decision": Decision.PROMOTE, "reasons": (f"there is no champion yet to compare with; {wer}",)}


def _measure(challenger: Contender, champion: Contender) -> Comparison:
    """Compute the figures of the comparison. The decision is left at KEEP; `compare` sets it."""
    programmes = [u.programme_id for u in champion.utterances]
    challenger_errors, champion_errors, lengths = sum_by_unit(  # (n_units,) each
        programmes,
        [u.words.errors for u in challenger.utterances],
        [u.words.errors for u in champion.utterances],
        [u.words.length for u in champion.utterances],
    )
    difference = paired_difference(challenger_errors, champion_errors, lengths)
    critical = _critical_t(len(lengths)) * difference.standard_error
    return Comparison(
        decision=Decision.KEEP,
        reasons=(),
        challenger=challenger.evaluation.model_version,
        champion=champion.evaluation.model_version,
        challenger_wer=challenger.evaluation.wer.value,
        champion_wer=champion.evaluation.wer.value,
        difference=difference.difference,
        difference_low=difference.low,
        difference_high=difference.high,
        p_better=difference.p_better,
        significant=difference.p_better >= CONFIDENCE and -difference.difference > critical,
        resampling_unit=choose_unit(programmes),
        n_units=len(lengths),
        slices=tuple(_compare_slices(challenger.utterances, champion.utterances)),
        challenger_invented_per_minute=challenger.evaluation.hallucinated_words_per_minute,
        champion_invented_per_minute=champion.evaluation.hallucinated_words_per_minute,
        challenger_words_in_silence=challenger.evaluation.words_in_silence,
        champion_words_in_silence=champion.evaluation.words_in_silence,
        out_of_domain=(
            _compare_subset(challenger.out_of_domain, champion.out_of_domain) if champion.out_of_domain else None
        ),
        challenger_rtfx=challenger.rtfx,
        champion_rtfx=champion.rtfx,
        same_hardware=challenger.hardware == champion.hardware,
    )


def _objections(comparison: Comparison, n_utterances: int) -> Iterator[str]:
    """Yield the reasons against promotion."""
    if n_utterances < MIN_UTTERANCES:
        yield f"{n_utterances} utterances are too few to compare on (at least {MIN_UTTERANCES})"
    elif not comparison.significant:
        needed = f"{100 * CONFIDENCE:.0f} % needed"
        if comparison.p_better >= CONFIDENCE:
            needed = f"not significant by the t-test with {comparison.n_units} {comparison.resampling_unit}s"
        yield f"not significantly better: {_rates(comparison)}, {needed}"
    for compared in comparison.slices:
        if compared.regressed:
            yield (
                f"worse in {compared.kind} {compared.value}: {100 * compared.challenger_wer:.2f} %"
                f" against {100 * compared.champion_wer:.2f} %"
            )
    if comparison.challenger_words_in_silence > comparison.champion_words_in_silence:
        yield (
            f"hallucinates in silence: {comparison.challenger_words_in_silence} words,"
            f" the champion {comparison.champion_words_in_silence}"
        )
    champion_rate = comparison.champion_invented_per_minute
    allowed = max(champion_rate, min(champion_rate + HALLUCINATION_ALLOWANCE_PER_MINUTE, MAX_HALLUCINATIONS_PER_MINUTE))
    if comparison.challenger_invented_per_minute > allowed:
        yield (
            f"hallucinates in non-speech: {comparison.challenger_invented_per_minute:.1f} words a minute,"
            f" the champion {comparison.champion_invented_per_minute:.1f}"
        )
    if comparison.out_of_domain and comparison.out_of_domain.regressed:
        yield (
            f"worse out of domain: {100 * comparison.out_of_domain.challenger_wer:.2f} %"
            f" against {100 * comparison.out_of_domain.champion_wer:.2f} %"
        )


def _rates(comparison: Comparison) -> str:
    """Describe both WERs, and in how many resamples the challenger's is lower."""
    rates = f"WER {100 * comparison.challenger_wer:.2f} % against {100 * comparison.champion_wer:.2f} %"
    units = f"{comparison.n_units} {comparison.resampling_unit}s"
    return f"{rates}, lower in {100 * comparison.p_better:.1f} % of resamples of {units}"


def _compare_slices(
    challenger: Sequence[ScoredUtterance], champion: Sequence[ScoredUtterance]
) -> Iterator[SliceComparison]:
    """Compare each slice that has at least MIN_SMALL_SLICE_WORDS words and, for each kind, all slices under
    MIN_SLICE_WORDS words together."""
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
            is_small = value != POOLED and n_words[value] < MIN_SLICE_WORDS
            subset = _compare_subset(
                [challenger[i] for i in indices],
                [champion[i] for i in indices],
                min_bound=MAX_SMALL_SLICE_WER_INCREASE if is_small else MAX_SLICE_WER_INCREASE,
                n_tests=len(tested),
            )
            yield SliceComparison(kind=kind, value=value, **subset.model_dump())


def _compare_subset(
    challenger: Sequence[ScoredUtterance],
    champion: Sequence[ScoredUtterance],
    min_bound: float = MAX_SLICE_WER_INCREASE,
    n_tests: int = 1,
) -> SubsetComparison:
    """Compare both models on the same utterances, as one of `n_tests` subsets tested.

    The bound guards against a model that improved on average by sacrificing a subset. A subset regresses only if it is
    also significantly worse, or chance in small subsets would stop every promotion. With many subsets, the corrected
    confidence lies further in the tail than 2,000 resamples can resolve: the bootstrap is held to the uncorrected one,
    and a t-test with its standard error to the corrected one.
    """
    # Utterances are the units here: a slice is often a single programme.
    challenger_errors = np.array([u.words.errors for u in challenger])  # (n_utterances,)
    champion_errors = np.array([u.words.errors for u in champion])  # (n_utterances,)
    lengths = np.array([u.words.length for u in champion])  # (n_utterances,)
    difference = paired_difference(challenger_errors, champion_errors, lengths, n_resamples=N_SLICE_RESAMPLES)
    n_words = int(lengths.sum())
    champion_wer = float(champion_errors.sum() / max(n_words, 1))
    bound = max(min_bound, MAX_SLICE_RELATIVE_WER_INCREASE * champion_wer)
    p_worse = 1 - difference.p_better
    critical = _critical_t(len(lengths), n_tests) * difference.standard_error
    significant = p_worse >= CONFIDENCE and difference.difference > critical
    return SubsetComparison(
        reference_words=n_words,
        challenger_wer=float(challenger_errors.sum() / max(n_words, 1)),
        champion_wer=champion_wer,
        p_worse=p_worse,
        regressed=difference.difference > bound and significant,
    )


def _critical_t(n_units: int, n_tests: int = 1) -> float:
    """Return the one-sided critical value of Student's t at `CONFIDENCE`, Bonferroni-corrected for `n_tests`."""
    from scipy.stats import t

    return float(t.ppf(1 - (1 - CONFIDENCE) / n_tests, n_units - 1)) if n_units > 1 else float("inf")
