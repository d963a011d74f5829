"""Charts as SVG: bars, a stacked bar, a histogram and a curve. The geometry is here, the markup in the template."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from tasks.pages.templates import render_macro

TEMPLATE = "tasks.pages/charts.html.jinja"
BAR_WIDTH = 1000  # units of the view box; bars stretch with the page
HISTOGRAM_WIDTH, HISTOGRAM_HEIGHT = 320, 110
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


def histogram(counts: np.ndarray, edges: np.ndarray, unit: str, bounds: Sequence[float] = ()) -> Markup:
    """Columns of `counts`, `(n_bins,)`, between `edges`, `(n_bins + 1,)`, with `bounds` as dashed lines.

    Empty bins at the end are left out.
    """
    last = max([int(np.flatnonzero(counts).max(initial=0)) + 1, *(int(np.searchsorted(edges, b)) for b in bounds)])
    n_bins = min(len(counts), last + 1)
    counts, edges = counts[:n_bins], edges[: n_bins + 1]
    largest = max(int(counts.max(initial=0)), 1)
    step = HISTOGRAM_WIDTH / n_bins
    columns = [
        (number * step, HISTOGRAM_HEIGHT * count / largest, f"{edges[number]:g} to {edges[number + 1]:g}", count)
        for number, count in enumerate(counts.tolist())
    ]
    scale = HISTOGRAM_WIDTH / float(edges[-1] - edges[0])
    lines = [x for x in ((bound - float(edges[0])) * scale for bound in bounds) if 0 <= x <= HISTOGRAM_WIDTH]
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


def _median(counts: np.ndarray, edges: np.ndarray) -> float:
    """The median of what the histogram counts, interpolated inside a bin."""
    below = np.concatenate([[0], np.cumsum(counts)])  # (n_bins + 1,)
    return float(np.interp(below[-1] / 2, below, edges)) if below[-1] else 0.0


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
