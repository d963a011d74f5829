"""Charts as SVG: bars, a stacked bar, a histogram, a timeline and a curve.

The geometry is here, the markup in the template. Plain Python: the API server, which has no numpy, draws them too.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate

from markupsafe import Markup

from tasks.pages.templates import render_macro

TEMPLATE = "tasks.pages/charts.html.jinja"
BAR_WIDTH = 1000  # units of the view box; bars stretch with the page
HISTOGRAM_WIDTH, HISTOGRAM_HEIGHT = 320, 110
TIMELINE_WIDTH, TIMELINE_HEIGHT = 320, 70
MIN_TIMELINE_DAYS = 10  # fewer days do not stretch over the whole width
CURVE_WIDTH, CURVE_HEIGHT, CURVE_LEFT = 440, 150, 56

Point = tuple[float, float]


def bars(rows: Sequence[tuple[str, float, str]]) -> Markup:
    """Horizontal bars: label, value, and the value as text."""
    largest = max((value for _, value, _ in rows), default=0) or 1
    placed = [(label, BAR_WIDTH * value / largest, text) for label, value, text in rows]
    return render_macro(TEMPLATE, "bars", rows=placed, width=BAR_WIDTH)


def stacked_bar(parts: Sequence[tuple[str, float, str]], unit: str) -> Markup:
    """One bar of parts side by side, with a legend: label, value, and the class that colours the part."""
    whole = sum(value for _, value, _ in parts) or 1
    x = 0.0
    placed = []
    for label, value, kind in parts:
        width = BAR_WIDTH * value / whole
        caption = f"{label} {value:,.2f} {unit}, {100 * value / whole:.1f} %"
        placed.append((caption, kind, x, max(width - 1, 0.5)))  # a part of next to nothing is still seen
        x += width
    return render_macro(TEMPLATE, "stacked_bar", parts=placed, width=BAR_WIDTH)


def distribution(values: Sequence[float], edges: Sequence[float], unit: str) -> Markup:
    """A histogram of `values`. Those outside of `edges` are in the first or the last bin.

    Empty bins at the start are left out but for one.
    """
    counts = [0] * (len(edges) - 1)
    for value in values:
        counts[min(max(bisect_right(edges, value) - 1, 0), len(counts) - 1)] += 1
    start = max(0, next((number for number, count in enumerate(counts) if count), 0) - 1)
    return histogram(counts[start:], edges[start:], unit)


def histogram(counts: Sequence[int], edges: Sequence[float], unit: str, bounds: Sequence[float] = ()) -> Markup:
    """Columns of `counts`, n_bins, between `edges`, n_bins + 1, with `bounds` as dashed lines.

    Empty bins at the end are left out.
    """
    filled = [number for number, count in enumerate(counts) if count]
    last = max([(filled[-1] if filled else 0) + 1, *(bisect_left(edges, bound) for bound in bounds)])
    n_bins = min(len(counts), last + 1)
    counts, edges = counts[:n_bins], edges[: n_bins + 1]
    largest = max([1, *counts])
    step = HISTOGRAM_WIDTH / n_bins
    columns = [
        (number * step, HISTOGRAM_HEIGHT * count / largest, f"{edges[number]:g} to {edges[number + 1]:g}", count)
        for number, count in enumerate(counts)
    ]
    scale = HISTOGRAM_WIDTH / (edges[-1] - edges[0])
    lines = [x for x in ((bound - edges[0]) * scale for bound in bounds) if 0 <= x <= HISTOGRAM_WIDTH]
    ticks = [
        (at * step, anchor, f"{edges[at]:g}") for at, anchor in ((0, "start"), (n_bins // 2, "middle"), (n_bins, "end"))
    ]
    return render_macro(
        TEMPLATE,
        "histogram",
        columns=columns,
        step=step,
        lines=lines,
        ticks=ticks,
        median=f"{_median(counts, edges):.3g}",
        unit=unit,
        width=HISTOGRAM_WIDTH,
        height=HISTOGRAM_HEIGHT,
    )


def _median(counts: Sequence[int], edges: Sequence[float]) -> float:
    """The median of what the histogram counts, interpolated inside a bin."""
    below = [0, *accumulate(counts)]  # n_bins + 1
    if not below[-1]:
        return 0.0
    number = bisect_left(below, below[-1] / 2) - 1
    part = (below[-1] / 2 - below[number]) / counts[number]
    return edges[number] + part * (edges[number + 1] - edges[number])


def timeline(points: Sequence[tuple[str, float | None, str]], *, from_zero: bool = True) -> Markup:
    """A column for each day: its label, its value and the value as text. A day without a value leaves a gap.

    Without `from_zero`, a line between the lowest and the highest value, for a figure that moves little.
    """
    values = [value for _, value, _ in points if value is not None]
    texts = {value: text for _, value, text in points if value is not None}
    lowest, highest = (0.0, max(values, default=0.0)) if from_zero else (min(values), max(values))
    scale = TIMELINE_HEIGHT / ((highest - lowest) or 1.0)
    step = TIMELINE_WIDTH / max(len(points), MIN_TIMELINE_DAYS)
    placed = [
        (number * step, max(scale * (value - lowest), 0.5), label, text)
        for number, (label, value, text) in enumerate(points)
        if value is not None
    ]
    return render_macro(
        TEMPLATE,
        "timeline" if from_zero else "line",
        points=placed,
        step=step,
        first=points[0][0] if points else "",
        last=points[-1][0] if len(points) > 1 else "",
        bounds=None if from_zero else (texts[highest], texts[lowest]),
        width=TIMELINE_WIDTH,
        height=TIMELINE_HEIGHT,
    )


def curve(points: Sequence[Point], unit: str, *, dots: bool = False) -> Markup:
    """A line through `points` (step, value) from zero up, with the axes' ends labelled. Empty without points."""
    if not points:
        return Markup()
    last = max(x for x, _ in points) or 1.0
    highest = max(y for _, y in points) or 1.0
    placed = [
        (CURVE_LEFT + (CURVE_WIDTH - CURVE_LEFT) * x / last, CURVE_HEIGHT * (1 - y / highest), f"{x:g}", f"{y:.4g}")
        for x, y in points
    ]
    return render_macro(
        TEMPLATE,
        "curve",
        points=placed,
        dots=dots,
        highest=f"{highest:.3g}",
        last=f"{last:g}",
        unit=unit,
        width=CURVE_WIDTH,
        height=CURVE_HEIGHT,
        left=CURVE_LEFT,
    )
