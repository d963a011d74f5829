"""Compute the active intervals of elements (TTML2, 12.2): `begin`, `end`, `dur`, parallel and sequential containers."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from tasks.corpus.captions.ttml.times import TimeExpressions

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

MAX_SLIP_S = Fraction(1, 10)  # rounding error of a time beyond its paragraph's


@dataclass(frozen=True)
class Interval:
    """The time in which an element is active. `end` is None if it is unlimited."""

    begin: Fraction
    end: Fraction | None = None
    is_timed: bool = False
    """Whether the element or an ancestor has times."""
    is_open: bool = False
    """Whether the innermost begin has no end or duration beside it, so that `end` is only the parent's."""
    is_cut: bool = False
    """Whether the element's own end was after its parent's."""

    def overlaps(self, other: Interval) -> bool:
        """Whether both are active at the same time."""
        return (self.end is None or other.begin < self.end) and (other.end is None or self.begin < other.end)


@dataclass(frozen=True)
class Timing:
    """Computes the intervals of elements."""

    times: TimeExpressions
    is_absolute: bool = False
    """Whether times of spans count from the document start, as some exporters write them in timed paragraphs."""

    def interval(self, element: Element, container: Interval, reference: Fraction) -> Interval:
        """Return the interval of `element`, limited to its container's. Raises ValueError for an invalid time.

        Its times count from `reference`: the container's begin or, in a sequence, the end of the element before it.
        """
        begin, end, dur = (self._seconds(element, name) for name in ("begin", "end", "dur"))
        own_begin = reference + (begin or 0)
        if self.is_absolute and container.is_timed:
            own_begin, reference = (container.begin if begin is None else begin), Fraction(0)
        ends = [] if container.end is None else [container.end]
        if end is not None:
            ends.append(reference + end)
        if dur is not None:
            ends.append(own_begin + dur)
        last = min(ends, default=None)
        own_ends = ends if container.end is None else ends[1:]
        has_end = end is not None or dur is not None
        return Interval(
            begin=own_begin,
            end=last,
            is_timed=container.is_timed or has_end or begin is not None,
            is_open=not has_end and (begin is not None or container.is_open),
            is_cut=bool(own_ends) and last is not None and min(own_ends) > last + MAX_SLIP_S,
        )

    def is_outside(self, element: Element, container: Interval, interval: Interval) -> bool:
        """Whether the element's own times lie outside its container's, so that it is never displayed."""
        has_times = any(name in element.attrib for name in ("begin", "end", "dur"))
        if not has_times or not container.is_timed or container.end is None:
            return False
        return interval.begin >= container.end or interval.begin < container.begin - MAX_SLIP_S

    def _seconds(self, element: Element, name: str) -> Fraction | None:
        expression = element.get(name)
        return None if expression is None else self.times.seconds(expression)


def is_sequence(element: Element) -> bool:
    """Whether the children of `element` are active one after another (`timeContainer="seq"`)."""
    return element.get("timeContainer") == "seq"
