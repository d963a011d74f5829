"""How much of the speech has words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from tasks.transcripts.spans import Span

# Speech this far from the nearest word is not covered by it: pauses inside a sentence are shorter.
REACH_MS = 1_000


def covered_ms(speech: Sequence[Span], words: Iterable[Span], reach_ms: int = REACH_MS) -> int:
    """Milliseconds of `speech` within `reach_ms` of a word. Both are in order; speech does not overlap itself.

    The reach allows for what lies between words and for the imprecision of their ends.
    """
    return sum(span.duration_ms for shared in speech_within(speech, _widened(words, reach_ms)) for span in shared)


def longest_passed_over_ms(speech: Sequence[Span], words: Iterable[Span], reach_ms: int = REACH_MS) -> int:
    """The longest stretch of `speech` that is out of reach of every word."""
    longest_ms = 0
    reached = iter(_widened(words, reach_ms))
    near = next(reached, None)
    for stretch in speech:
        at_ms = stretch.start_ms
        while near is not None and near.start_ms < stretch.end_ms:
            longest_ms = max(longest_ms, near.start_ms - at_ms)
            at_ms = max(at_ms, near.end_ms)
            if near.end_ms > stretch.end_ms:
                break  # it reaches into the next stretch
            near = next(reached, None)
        longest_ms = max(longest_ms, stretch.end_ms - at_ms)
    return longest_ms


def speech_within(speech: Sequence[Span], spans: Iterable[Span]) -> Iterator[tuple[Span, ...]]:
    """What each of `spans` shares with `speech`. Linear: both in order, neither overlapping itself."""
    first = 0
    for span in spans:
        while first < len(speech) and speech[first].end_ms <= span.start_ms:
            first += 1
        shared, index = [], first
        while index < len(speech) and speech[index].start_ms < span.end_ms:
            start_ms, end_ms = max(speech[index].start_ms, span.start_ms), min(speech[index].end_ms, span.end_ms)
            shared.append(Span(start_ms=start_ms, end_ms=end_ms))
            index += 1
        yield tuple(shared)


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
