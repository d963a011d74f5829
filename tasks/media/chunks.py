"""Pack speech segments into chunks for recognition: within the model's window, cut at pauses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from tasks.media.speech_activity import Pause, SpeechSegment

MAX_CHUNK_MS = 30_000  # Whisper's window
JOIN_MS = 600  # segments closer than this share a chunk: context helps, longer silence invites hallucination
SEARCH_SHARE = 0.5  # search for a cut in this last part of the longest possible chunk
FILL_SHARE = 0.25  # with `fill`, a chunk with at least this much room is filled up


@dataclass(frozen=True, slots=True)
class Chunk:
    """A span of the programme to be recognised in one piece."""

    start_ms: int
    end_ms: int

    @property
    def duration_ms(self) -> int:
        return self.end_ms - self.start_ms


def chunks(
    segments: Iterable[SpeechSegment], *, max_ms: int = MAX_CHUNK_MS, join_ms: int = JOIN_MS, fill: bool = False
) -> Iterator[Chunk]:
    """Yield chunks of at most `max_ms` that cover all of `segments`, in order, without overlap.

    Neighbours are joined while they fit. A segment longer than `max_ms` is cut at its cheapest pauses. With `fill`, a
    segment that does not fit is also cut to fill the open chunk: for engines that pay as much for a short chunk as
    for a long one.
    """
    if max_ms <= 0:
        raise ValueError(f"chunks of at most {max_ms} ms cannot hold speech: max_ms must be positive")
    open_chunk: Chunk | None = None
    for segment in segments:
        if fill and open_chunk and segment.start_ms - open_chunk.end_ms <= join_ms:
            latest_ms = open_chunk.start_ms + max_ms
            cut_ms = _best_cut(segment.pauses, segment.start_ms, latest_ms, round(FILL_SHARE * max_ms))
            if cut_ms is not None and segment.end_ms > latest_ms:
                yield Chunk(open_chunk.start_ms, cut_ms)
                open_chunk, segment = None, replace(segment, start_ms=cut_ms)
        for piece in _pieces(segment, max_ms):
            if (
                open_chunk
                and piece.start_ms - open_chunk.end_ms <= join_ms
                and piece.end_ms - open_chunk.start_ms <= max_ms
            ):
                open_chunk = Chunk(open_chunk.start_ms, piece.end_ms)
                continue
            if open_chunk:
                yield open_chunk
            open_chunk = piece
    if open_chunk:
        yield open_chunk


def _pieces(segment: SpeechSegment, max_ms: int) -> Iterator[Chunk]:
    start_ms = segment.start_ms
    while segment.end_ms - start_ms > max_ms:
        latest_ms = min(start_ms + max_ms, segment.end_ms - 1)
        cut_ms = _best_cut(segment.pauses, start_ms, latest_ms)
        cut_ms = latest_ms if cut_ms is None else cut_ms
        yield Chunk(start_ms, cut_ms)
        start_ms = cut_ms
    yield Chunk(start_ms, segment.end_ms)


def _best_cut(pauses: tuple[Pause, ...], start_ms: int, latest_ms: int, min_ms: int = 0) -> int | None:
    """The cheapest pause in the last part of the span, at least `min_ms` after its start; None if there is none."""
    earliest_ms = start_ms + max(min_ms, (latest_ms - start_ms) * (1 - SEARCH_SHARE))
    candidates = [pause for pause in pauses if earliest_ms < pause.at_ms <= latest_ms]
    return min(candidates, key=lambda pause: (pause.cost, -pause.at_ms)).at_ms if candidates else None
