"""Parts of a split: by programme, genre, speaker, length, and signal-to-noise ratio."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

from training.evaluation.records import ScoredUtterance, Slice, SliceKind
from training.scoring.errors import total

_DURATION_BOUNDS_S = (2.0, 5.0, 10.0)
_SNR_BOUNDS_DB = (5.0, 15.0, 25.0, 40.0)


def _banded(value: float, bounds: tuple[float, ...], unit: str) -> str:
    if value < bounds[0]:
        return f"under {bounds[0]:g} {unit}"
    for low, high in itertools.pairwise(bounds):
        if value < high:
            return f"{low:g} to {high:g} {unit}"
    return f"{bounds[-1]:g} {unit} and more"


_VALUE_OF: Mapping[SliceKind, Callable[[ScoredUtterance], str]] = {
    SliceKind.PROGRAMME: lambda u: u.programme_id,
    SliceKind.GENRE: lambda u: u.genre,
    SliceKind.SPEAKER: lambda u: u.speaker or "unknown",
    SliceKind.DURATION: lambda u: _banded(u.duration_s, _DURATION_BOUNDS_S, "s"),
    SliceKind.SNR: lambda u: _banded(u.snr_db, _SNR_BOUNDS_DB, "dB"),
}


def members(utterances: Iterable[ScoredUtterance]) -> dict[tuple[SliceKind, str], list[int]]:
    """The places of each slice's utterances, by kind and value. What has no genre is in no slice of that kind."""
    found: dict[tuple[SliceKind, str], list[int]] = defaultdict(list)
    for place, utterance in enumerate(utterances):
        for kind, value_of in _VALUE_OF.items():
            if value := value_of(utterance):
                found[kind, value].append(place)
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
