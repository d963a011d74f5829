"""Spans of time in the media, and set operations on them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """The half-open interval [start_ms, end_ms)."""

    start_ms: int
    end_ms: int

    @property
    def duration_ms(self) -> int:
        return self.end_ms - self.start_ms


@dataclass(frozen=True, slots=True)
class Turn(Span):
    """A span in which one speaker talks. Turns of an exclusive diarization do not overlap."""

    speaker: str


def union(spans: Iterable[Span]) -> list[Span]:
    """Return the union of the spans, sorted; touching spans are merged."""
    joined: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start_ms, span.end_ms)):
        if joined and span.start_ms <= joined[-1].end_ms:
            joined[-1] = Span(joined[-1].start_ms, max(joined[-1].end_ms, span.end_ms))
        elif span.end_ms > span.start_ms:
            joined.append(Span(span.start_ms, span.end_ms))
    return joined


def total_ms(spans: Iterable[Span]) -> int:
    return sum(span.duration_ms for span in spans)
