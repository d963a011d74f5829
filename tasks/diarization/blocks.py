"""Long programmes in blocks, so that memory stays flat, and the speakers of the blocks brought together. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tasks.transcripts.spans import Span, Turn


def blocks(speech: Sequence[Span], longest_ms: int) -> list[Span]:
    """Spans that hold all of the speech, each at most `longest_ms`, cut in the longest pause of their second half.

    `speech` is in order and does not overlap. Longer stretches without a pause are cut hard.
    """
    found: list[Span] = []
    rest = [span for span in speech if span.end_ms > span.start_ms]
    while rest:
        start_ms = rest[0].start_ms
        limit_ms = start_ms + longest_ms
        n_within = sum(1 for span in rest if span.end_ms <= limit_ms)
        if n_within == len(rest):
            found.append(Span(start_ms, rest[-1].end_ms))
            break
        late = [n for n in range(1, n_within + 1) if rest[n - 1].end_ms >= start_ms + longest_ms // 2]
        if late:
            cut = max(late, key=lambda n: rest[n].start_ms - rest[n - 1].end_ms)
            found.append(Span(start_ms, rest[cut - 1].end_ms))
            rest = rest[cut:]
        else:
            found.append(Span(start_ms, limit_ms))
            rest = [Span(max(s.start_ms, limit_ms), s.end_ms) for s in rest if s.end_ms > limit_ms]
    return found


@dataclass(frozen=True)
class Voice:
    """One speaker of one block."""

    block: int
    speaker: str
    embedding: np.ndarray
    """`(dimension,)`; NaN where the speaker talked too little."""
    weight: float
    """Seconds heard."""


def same_speakers(voices: Sequence[Voice], threshold: float) -> list[int]:
    """For each voice the number of its speaker in the programme.

    Agglomerative: the two nearest speakers become one, again and again, while their centroids on the unit sphere are
    nearer than `threshold`; never two that were told apart in one block.
    """
    centroids = np.array([_unit(voice.embedding) * voice.weight for voice in voices])
    members = {index: {index} for index in range(len(voices))}
    within = {index: {voice.block} for index, voice in enumerate(voices)}
    while (pair := _nearest(centroids, within, threshold)) is not None:
        kept, gone = pair
        centroids[kept] += centroids[gone]
        members[kept] |= members.pop(gone)
        within[kept] |= within.pop(gone)
    numbers = [0] * len(voices)
    for number, indexes in enumerate(sorted(members.values(), key=min)):
        for index in indexes:
            numbers[index] = number
    return numbers


def _nearest(centroids: np.ndarray, within: dict[int, set[int]], threshold: float) -> tuple[int, int] | None:
    alive = sorted(within)
    units = np.array([_unit(centroids[index]) for index in alive])
    distances = np.sqrt(np.maximum(2 - 2 * units @ units.T, 0)) if alive else np.zeros((0, 0))
    distances[~(distances < threshold)] = np.inf  # NaN too
    for row, index in enumerate(alive):
        for column in range(row + 1):
            if column == row or within[index] & within[alive[column]]:
                distances[row, column] = distances[column, row] = np.inf
    if not np.isfinite(distances).any():
        return None
    pair = sorted(divmod(int(distances.argmin()), len(alive)))
    return alive[pair[0]], alive[pair[1]]


def _unit(vector: np.ndarray) -> np.ndarray:
    norm = float(np.linalg.norm(vector))
    return vector / norm if norm > 0 else np.full_like(vector, np.nan)


def by_first_speech(turns: Sequence[Turn]) -> dict[str, str]:
    """`S1`, `S2`, … for the speakers in the order in which they first speak."""
    ordered = sorted(turns, key=lambda turn: (turn.start_ms, turn.end_ms, turn.speaker))
    return {name: f"S{n}" for n, name in enumerate(dict.fromkeys(turn.speaker for turn in ordered), start=1)}


def one_at_a_time(turns: Sequence[Turn]) -> list[Turn]:
    """The turns, in order, without overlap: who began first is heard out.

    An exclusive diarization overlaps where a speaker's short pauses were filled and another spoke in them.
    """
    kept: list[Turn] = []
    for turn in sorted(turns, key=lambda turn: (turn.start_ms, turn.end_ms, turn.speaker)):
        start_ms = max(turn.start_ms, kept[-1].end_ms if kept else 0)
        if turn.end_ms > start_ms:
            kept.append(Turn(start_ms, turn.end_ms, turn.speaker))
    return kept


def within(turns: Sequence[Turn], spans: Sequence[Span]) -> list[Turn]:
    """What of the turns lies inside the spans, which are in order and do not overlap. Linear in what meets."""
    kept, first = [], 0
    for turn in sorted(turns, key=lambda turn: (turn.start_ms, turn.end_ms, turn.speaker)):
        while first < len(spans) and spans[first].end_ms <= turn.start_ms:
            first += 1
        for index in range(first, len(spans)):
            if spans[index].start_ms >= turn.end_ms:
                break
            start_ms, end_ms = max(turn.start_ms, spans[index].start_ms), min(turn.end_ms, spans[index].end_ms)
            if end_ms > start_ms:
                kept.append(Turn(start_ms, end_ms, turn.speaker))
    return kept
