"""Bootstrap intervals of error rates, over independent units (programmes or utterances).

Rates are ratios of sums, so that every resample weights words equally. Paired comparisons draw the same units for both
models. After M. Bisani and H. Ney, "Bootstrap estimates for confidence intervals in ASR performance evaluation",
ICASSP 2004.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tasks.contract import Frozen

N_RESAMPLES = 10_000
N_SLICE_RESAMPLES = 2_000  # for many slices, where a precision of 0.5 % is enough
LEVEL = 0.95
_CHUNK_DRAWS = 4_000_000  # units drawn at once: bounds memory at 32 MB


class RateInterval(Frozen):
    """A rate with the central interval that contains `LEVEL` of its resamples."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class PairedDifference:
    """Challenger's rate minus champion's: negative is better."""

    difference: float
    low: float
    high: float
    p_better: float
    """Share of resamples in which the challenger's rate is lower; ties count half."""
    standard_error: float
    """Standard deviation of the resamples, corrected for the bias of resampling few units."""


def rate_interval(
    errors: np.ndarray, lengths: np.ndarray, seed: int = 0, n_resamples: int = N_RESAMPLES
) -> RateInterval:
    """Return `sum(errors) / sum(lengths)` with its interval; both are `(n_units,)`."""
    rates = np.concatenate([_ratio(counts, errors, lengths) for counts in _resamples(len(errors), n_resamples, seed)])
    low, high = _central(rates)
    return RateInterval(value=float(errors.sum() / max(lengths.sum(), 1)), low=low, high=high)


def paired_difference(
    challenger: np.ndarray, champion: np.ndarray, lengths: np.ndarray, seed: int = 0, n_resamples: int = N_RESAMPLES
) -> PairedDifference:
    """Compare two models' rates on the same units: errors of each, and lengths, all `(n_units,)`."""
    gains = challenger - champion
    differences = np.concatenate(
        [_ratio(counts, gains, lengths) for counts in _resamples(len(gains), n_resamples, seed)]
    )
    low, high = _central(differences)
    p_better = float((differences < 0).mean() + (differences == 0).mean() / 2)
    difference = float(gains.sum() / max(lengths.sum(), 1))
    n_units = len(gains)
    standard_error = float(differences.std()) * math.sqrt(n_units / max(n_units - 1, 1))
    return PairedDifference(difference, low, high, p_better, standard_error)


def _resamples(n_units: int, n_resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Yield how often each unit is drawn, `(n_chunk, n_units)` at a time, `n_resamples` in all."""
    n_chunk = max(1, _CHUNK_DRAWS // n_units)
    if n_resamples <= n_chunk:
        yield _single_chunk(n_units, n_resamples, seed)
        return
    rng = np.random.default_rng(seed)
    for start in range(0, n_resamples, n_chunk):
        yield _draw(rng, n_units, min(n_chunk, n_resamples - start))


# Words and characters have as many units, and so have many slices; drawing takes longer than all else.
@lru_cache(maxsize=1)
def _single_chunk(n_units: int, n_resamples: int, seed: int) -> np.ndarray:
    counts = _draw(np.random.default_rng(seed), n_units, n_resamples)
    counts.setflags(write=False)
    return counts


def _draw(rng: np.random.Generator, n_units: int, n_resamples: int) -> np.ndarray:
    return rng.multinomial(n_units, np.full(n_units, 1 / n_units), size=n_resamples)


def _ratio(counts: np.ndarray, errors: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    return (counts @ errors) / np.maximum(counts @ lengths, 1)


def _central(values: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
