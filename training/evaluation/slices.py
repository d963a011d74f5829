"""Slices of a split: by programme, genre, speaker, duration, signal-to-noise ratio, and what people have reviewed."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

from tasks.dataset.manifest import REVIEWED_PREFIX
from tasks.transcripts.error_counts import total
from training.evaluation.records import ScoredUtterance, Slice, SliceKind

REVIEWED = "programmes that people have checked"

_DURATION_BOUNDS_S = (2.0, 5.0, 10.0)
_SNR_BOUNDS_DB = (5.0, 15.0, 25.0, 40.0)


def _band(value: float, bounds: tuple[float, ...], unit: str) -> str:
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
    SliceKind.REVIEWED: lambda u: REVIEWED if u.programme_id.startswith(REVIEWED_PREFIX) else "",
    SliceKind.DURATION: lambda u: _band(u.duration_s, _DURATION_BOUNDS_S, "s"),
    SliceKind.SNR: lambda u: _band(u.snr_db, _SNR_BOUNDS_DB, "dB"),
}


def slice_indices(utterances: Iterable[ScoredUtterance]) -> dict[tuple[SliceKind, str], list[int]]:
    """Return the indices of each slice's utterances, by kind and value. Utterances without a genre, or not
    reviewed, are in no slice of that kind."""
    indices: dict[tuple[SliceKind, str], list[int]] = defaultdict(list)
    for index, utterance in enumerate(utterances):
        for kind, value_of in _VALUE_OF.items():
            if value := value_of(utterance):
                indices[kind, value].append(index)
    return dict(sorted(indices.items()))


def score_slices(utterances: list[ScoredUtterance]) -> tuple[Slice, ...]:
    """Return every slice with its error counts."""
    return tuple(
        Slice(
            kind=kind,
            value=value,
            utterances=len(indices),
            hours=sum(utterances[i].duration_s for i in indices) / 3600,
            words=total(utterances[i].words for i in indices),
        )
        for (kind, value), indices in slice_indices(utterances).items()
    )
