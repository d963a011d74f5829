"""Parts of a split: by programme, speaker, length, and how far the speech stands above its background."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from training.evaluation.records import ScoredUtterance, Slice, SliceKind
from training.scoring.errors import total

_DURATION_BOUNDS_S = (2.0, 5.0, 10.0)
_LEVEL_BOUNDS_DB = (15.0, 25.0, 35.0)
_FRAME_SAMPLES = 400  # 25 ms at 16 kHz


def level_range_db(samples: np.ndarray) -> float:
    """The level of loud frames above that of quiet ones: 95th against 10th percentile of 25 ms frames.

    It falls as noise or music fills the pauses, and needs no reference; it is not a signal-to-noise ratio.
    """
    n = len(samples) // _FRAME_SAMPLES
    if n < 2:
        return 0.0
    power = np.square(samples[: n * _FRAME_SAMPLES].reshape(n, _FRAME_SAMPLES), dtype=np.float64).mean(axis=1)
    quiet, loud = np.quantile(10 * np.log10(power + 1e-10), [0.10, 0.95])
    return round(float(loud - quiet), 1)


def _banded(value: float, bounds: tuple[float, ...], unit: str) -> str:
    if value < bounds[0]:
        return f"under {bounds[0]:g} {unit}"
    for low, high in itertools.pairwise(bounds):
        if value < high:
            return f"{low:g} to {high:g} {unit}"
    return f"{bounds[-1]:g} {unit} and more"


_VALUE_OF: Mapping[SliceKind, Callable[[ScoredUtterance], str]] = {
    SliceKind.PROGRAMME: lambda u: u.programme_id,
    SliceKind.SPEAKER: lambda u: u.speaker or "unknown",
    SliceKind.DURATION: lambda u: _banded(u.duration_s, _DURATION_BOUNDS_S, "s"),
    SliceKind.LEVEL_RANGE: lambda u: _banded(u.level_range_db, _LEVEL_BOUNDS_DB, "dB"),
}


def members(utterances: Iterable[ScoredUtterance]) -> dict[tuple[SliceKind, str], list[int]]:
    """The places of each slice's utterances, by kind and value."""
    found: dict[tuple[SliceKind, str], list[int]] = defaultdict(list)
    for place, utterance in enumerate(utterances):
        for kind, value_of in _VALUE_OF.items():
            found[kind, value_of(utterance)].append(place)
    return dict(sorted(found.items()))


def cut_slices(utterances: list[ScoredUtterance]) -> tuple[Slice, ...]:
    """Every slice with its errors."""
    return tuple(
        Slice(
            kind=kind,
            value=value,
            utterances=len(places),
            hours=sum(utterances[p].duration_s for p in places) / 3600,
            words=total(utterances[p].words for p in places),
        )
        for (kind, value), places in members(utterances).items()
    )
