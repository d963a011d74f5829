"""Splitting long programmes into blocks, so that memory stays flat, and linking the blocks' speakers. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tasks.transcripts.spans import Span, Turn


def split_into_blocks(speech: Sequence[Span], max_ms: int) -> list[Span]:
    """Return spans that contain all speech, each at most `max_ms`, split in the longest pause of their second half.

    `speech` is in order and does not overlap. A longer stretch without a pause is split at `max_ms`.
    """
    blocks: list[Span] = []
    rest = [span for span in speech if span.end_ms > span.start_ms]
    while rest:
        start_ms = rest[0].start_ms
        limit_ms = start_ms + max_ms
        n_within = sum(1 for span in rest if span.end_ms <= limit_ms)
        if n_within == len(rest):
            blocks.append(Span(start_ms, rest[-1].end_ms))
            break
        late = [n for n in range(1, n_within + 1) if rest[n - 1].end_ms >= start_ms + max_ms // 2]
        if late:
            cut = max(late, key=lambda n: rest[n].start_ms - rest[n - 1].end_ms)
            blocks.append(Span(start_ms, rest[cut - 1].end_ms))
            rest = rest[cut:]
        else:
            blocks.append(Span(start_ms, limit_ms))
            rest = [Span(max(s.start_ms, limit_ms), s.end_ms) for s in rest if s.end_ms > limit_ms]
    return blocks


@dataclass(frozen=True)
class BlockSpeaker:
    """One speaker of one block."""

    block: int
    speaker: str
    embedding: np.ndarray
    """`(dimension,)`; NaN if there is too little speech."""
    speech_s: float


def link_speakers(speakers: Sequence[BlockSpeaker], threshold: float) -> list[int]:
    """Return, for each block's speaker, the index of the speaker in the programme.

    Agglomerative clustering by centroids on the unit sphere, weighted by speech: the nearest two clusters are merged
    while their distance is below `threshold`. Two speakers of one block are never merged.
    """
    # (n_speakers, dimension)
    centroids = np.array([_unit(speaker.embedding) * speaker.speech_s for speaker in speakers])
    members = {index: {index} for index in range(len(speakers))}
    blocks = {index: {speaker.block} for index, speaker in enumerate(speakers)}
    while (pair := _nearest(centroids, blocks, threshold)) is not None:
        kept, merged = pair
        centroids[kept] += centroids[merged]
        members[kept] |= members.pop(merged)
        blocks[kept] |= blocks.pop(merged)
    speaker_indices = [0] * len(speakers)
    for speaker_index, indexes in enumerate(sorted(members.values(), key=min)):
        for index in indexes:
            speaker_indices[index] = speaker_index
    return speaker_indices


def _nearest(centroids: np.ndarray, blocks: dict[int, set[int]], threshold: float) -> tuple[int, int] | None:
    """Return the two nearest clusters that may be merged; None if there are none."""
    clusters = sorted(blocks)
    units = np.array([_unit(centroids[index]) for index in clusters])  # (n_clusters, dimension)
    # (n_clusters, n_clusters)
    distances = np.sqrt(np.maximum(2 - 2 * units @ units.T, 0)) if clusters else np.zeros((0, 0))
    distances[~(distances < threshold)] = np.inf  # NaN too
    for row, index in enumerate(clusters):
        for column in range(row + 1):
            if column == row or blocks[index] & blocks[clusters[column]]:
                distances[row, column] = distances[column, row] = np.inf
    if not np.isfinite(distances).any():
        return None
    pair = sorted(divmod(int(distances.argmin()), len(clusters)))
    return clusters[pair[0]], clusters[pair[1]]


def _unit(vector: np.ndarray) -> np.ndarray:
    norm = float(np.linalg.norm(vector))
    return vector / norm if norm > 0 else np.full_like(vector, np.nan)


def labels_by_first_turn(turns: Sequence[Turn]) -> dict[str, str]:
    """Label the speakers `S1`, `S2`, …, in the order of their first turns."""
    ordered = sorted(turns, key=lambda turn: (turn.start_ms, turn.end_ms, turn.speaker))
    return {name: f"S{n}" for n, name in enumerate(dict.fromkeys(turn.speaker for turn in ordered), start=1)}


def remove_overlaps(turns: Sequence[Turn]) -> list[Turn]:
    """Return the turns in order, without overlap: the turn that begins first keeps the overlap.

    An exclusive diarization overlaps where a speaker's short pauses were filled and another spoke in them.
    """
    kept: list[Turn] = []
    for turn in sorted(turns, key=lambda turn: (turn.start_ms, turn.end_ms, turn.speaker)):
        start_ms = max(turn.start_ms, kept[-1].end_ms if kept else 0)
        if turn.end_ms > start_ms:
            kept.append(Turn(start_ms, turn.end_ms, turn.speaker))
    return kept


def crop(turns: Sequence[Turn], spans: Sequence[Span]) -> list[Turn]:
    """Return the parts of the turns inside the spans. The spans are in order and do not overlap."""
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
