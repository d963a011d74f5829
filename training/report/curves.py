"""Curves over steps as SVG text."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

WIDTH, HEIGHT, LEFT, BOTTOM = 560, 180, 64, 24

Point = tuple[float, float]


def curve(points: Sequence[Point], unit: str, *, dots: bool = False) -> str:
    """A line through `points` (step, value) from zero up, with the axis' ends named. Empty without points."""
    if not points:
        return ""
    last = max(x for x, _ in points) or 1.0
    highest = max(y for _, y in points) or 1.0
    placed = [(LEFT + (WIDTH - LEFT) * x / last, HEIGHT * (1 - y / highest)) for x, y in points]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
    marks = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"><title>step {step:g}: {value:.4g} {escape(unit)}</title></circle>'
        for (x, y), (step, value) in zip(placed, points, strict=True)
    )
    return (
        f'<svg viewBox="0 -8 {WIDTH + 8} {HEIGHT + BOTTOM + 8}" role="img">'
        f'<path d="M{LEFT} 0V{HEIGHT}H{WIDTH}"/><polyline points="{line}"/>{marks if dots else ""}'
        f'<text x="{LEFT - 6}" y="6" text-anchor="end">{highest:.3g} {escape(unit)}</text>'
        f'<text x="{LEFT - 6}" y="{HEIGHT}" text-anchor="end">0</text>'
        f'<text x="{WIDTH}" y="{HEIGHT + 16}" text-anchor="end">step {last:g}</text></svg>'
    )


def smoothed(losses: Sequence[float | None], window: int) -> list[Point]:
    """Means over `window` steps, as points at the windows' ends; steps without a loss are left out."""
    points = []
    for end in range(window, len(losses) + 1, max(1, window // 4)):
        found = [loss for loss in losses[end - window : end] if loss is not None]
        if found:
            points.append((float(end), sum(found) / len(found)))
    return points
