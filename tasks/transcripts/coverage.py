"""How much of the detected speech is covered by recognised words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from tasks.transcripts.spans import Span

# Speech farther than this from every word is not covered. Pauses within a sentence are shorter.
REACH_MS = 1_000
MIN_UNCOVERED_MS = 1_000  # less is breath, or the padding of the speech detection


def covered_ms(speech: Sequence[Span], words: Iterable[Span], reach_ms: int = REACH_MS) -> int:
    """Return the milliseconds of `speech` within `reach_ms` of a word. Both are sorted; speech spans do not overlap.

    The reach allows for short pauses between words and for imprecise word times.
    """
    return sum(span.duration_ms for shared in speech_within(speech, _widen(words, reach_ms)) for span in shared)


def uncovered(
    speech: Sequence[Span], words: Iterable[Span], reach_ms: int = REACH_MS, min_ms: int = MIN_UNCOVERED_MS
) -> Iterator[Span]:
    """Yield the stretches of `speech`, of at least `min_ms`, that are out of reach of every word."""
    reached = iter(_widen(words, reach_ms))
    near = next(reached, None)
    for stretch in speech:
        at_ms = stretch.start_ms
        while near is not None and near.start_ms < stretch.end_ms:
            if near.start_ms - at_ms >= min_ms:
                yield Span(start_ms=at_ms, end_ms=near.start_ms)
            at_ms = max(at_ms, near.end_ms)
            if near.end_ms > stretch.end_ms:
                break  # its reach extends into the next stretch
            near = next(reached, None)
        if stretch.end_ms - at_ms >= min_ms:
            yield Span(start_ms=at_ms, end_ms=stretch.end_ms)


def speech_within(speech: Sequence[Span], spans: Iterable[Span]) -> Iterator[tuple[Span, ...]]:
    """Yield the intersection of each span with `speech`. Both sorted and free of overlaps; linear time."""
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


def _widen(words: Iterable[Span], reach_ms: int) -> Iterator[Span]:
    """Yield the words, extended by their reach and merged where they touch."""
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
