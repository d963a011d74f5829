"""How much of the speech has words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from tasks.night.records import Span

# Speech this far from the nearest word is not covered by it: pauses inside a sentence are shorter.
REACH_MS = 1_000


def covered_ms(speech: Sequence[Span], words: Iterable[Span], reach_ms: int = REACH_MS) -> int:
    """Milliseconds of `speech` within `reach_ms` of a word. Both are in order; speech does not overlap itself.

    The reach allows for what lies between words and for the imprecision of their ends.
    """
    return sum(overlap_ms(speech, _widened(words, reach_ms)))


def speech_within(speech: Sequence[Span], spans: Iterable[Span]) -> list[int]:
    """Milliseconds of speech in each of `spans`, which are in order and do not overlap."""
    return list(overlap_ms(speech, spans))


def overlap_ms(speech: Sequence[Span], spans: Iterable[Span]) -> Iterator[int]:
    """Milliseconds that each span shares with `speech`. Linear: both in order, neither overlapping itself."""
    first = 0
    for span in spans:
        while first < len(speech) and speech[first].end_ms <= span.start_ms:
            first += 1
        shared_ms, index = 0, first
        while index < len(speech) and speech[index].start_ms < span.end_ms:
            shared_ms += min(speech[index].end_ms, span.end_ms) - max(speech[index].start_ms, span.start_ms)
            index += 1
        yield shared_ms


def _widened(words: Iterable[Span], reach_ms: int) -> Iterator[Span]:
    """Words with their reach, joined where they touch."""
    current: Span | None = None
    for word in words:
        start_ms, end_ms = max(0, word.start_ms - reach_ms), word.end_ms + reach_ms
        if current is not None and start_ms <= current.end_ms:
            current = Span(start_ms=current.start_ms, end_ms=max(end_ms, current.end_ms))
            continue
        if current is not None:
            yield current
        current = Span(start_ms=start_ms, end_ms=end_ms)
    if current is not None:
        yield current
