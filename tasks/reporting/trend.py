"""The last nights side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from markupsafe import Markup

from tasks.pages.charts import timeline
from tasks.pages.formatting import number, percent

N_DAYS = 30


@dataclass(frozen=True)
class Day:
    """One day's programmes, whichever runs transcribed them. A rate is none where nothing is known."""

    day: date
    hours: float
    confidence: float | None = None
    """Mean over the programmes, weighted by their words."""
    reviewed: float | None = None
    """Share of the hours that people have reviewed."""
    error_rate: float | None = None
    """Words that people corrected, of the words in the reviewed programmes."""
    rtfx: float | None = None
    cost_per_hour: float | None = None
    compute_per_hour: float | None = None
    """Pod time in hours, of an hour of media."""


@dataclass(frozen=True)
class TrendChart:
    """One figure over the days."""

    name: str
    latest: str
    chart: Markup


@dataclass(frozen=True)
class _Series:
    name: str
    value_of: Callable[[Day], float | None]
    text_of: Callable[[float], str]
    from_zero: bool = True
    """Whether its columns stand on zero. The others move little and are drawn as a line."""


_SERIES = (
    _Series("Hours", lambda day: day.hours, lambda value: f"{number(value, 2)} h"),
    _Series("Reviewed", lambda day: day.reviewed, lambda value: percent(value, 0)),
    _Series("Words that people corrected", lambda day: day.error_rate, lambda value: percent(value, 1)),
    _Series("Confidence", lambda day: day.confidence, lambda value: number(value, 2), from_zero=False),
    _Series("Speed, times real time", lambda day: day.rtfx, lambda value: f"{value:.0f}×", from_zero=False),
    _Series("Cost of an hour", lambda day: day.cost_per_hour, lambda value: number(value, 2)),
    _Series(
        "Compute time of an hour",
        lambda day: None if day.cost_per_hour is not None else day.compute_per_hour,
        lambda value: f"{60 * value:.1f} min",
    ),
)


def trend_charts(days: Sequence[Day]) -> list[TrendChart]:
    """Return a chart for each figure that at least two of the days have."""
    charts = []
    for series in _SERIES:
        values = [(day.day, series.value_of(day)) for day in days[-N_DAYS:]]
        known = [value for _, value in values if value is not None]
        if len(known) > 1:
            points = [(_short(day), value, "" if value is None else series.text_of(value)) for day, value in values]
            chart = timeline(points, from_zero=series.from_zero)
            charts.append(TrendChart(series.name, series.text_of(known[-1]), chart))
    return charts


def _short(day: date) -> str:
    return f"{day.day} {day:%b}"
