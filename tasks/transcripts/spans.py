"""Stretches of the media, and sums over them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """From `start_ms` until, not including, `end_ms`."""

    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Turn(Span):
    """One speaker talks. Turns of an exclusive diarization do not overlap."""

    speaker: str


def union(spans: Iterable[Span], bridged_ms: int = 0) -> list[Span]:
    """The spans without overlaps, in order; gaps of at most `bridged_ms` between them are closed."""
    joined: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start_ms, span.end_ms)):
        if joined and span.start_ms <= joined[-1].end_ms + bridged_ms:
            joined[-1] = Span(joined[-1].start_ms, max(joined[-1].end_ms, span.end_ms))
        elif span.end_ms > span.start_ms:
            joined.append(Span(span.start_ms, span.end_ms))
    return joined


def total_ms(spans: Iterable[Span]) -> int:
    return sum(span.end_ms - span.start_ms for span in spans)


def shared_ms(left: Sequence[Span], right: Sequence[Span]) -> int:
    """Milliseconds in both of two unions. Linear in their lengths."""
    shared, index = 0, 0
    for span in left:
        while index < len(right) and right[index].end_ms <= span.start_ms:
            index += 1
        for other in range(index, len(right)):
            if right[other].start_ms >= span.end_ms:
                break
            shared += min(span.end_ms, right[other].end_ms) - max(span.start_ms, right[other].start_ms)
    return shared
