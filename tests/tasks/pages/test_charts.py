from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from tasks.pages.charts import BAR_WIDTH, HISTOGRAM_HEIGHT, HISTOGRAM_WIDTH, bars, curve, histogram, stacked_bar


def widths(drawn: str) -> list[float]:
    return [float(width) for width in re.findall(r'<rect[^>]* width="([\d.]+)"', drawn)]


def test_curves_stay_inside_their_frame() -> None:
    drawn = curve([(0, 90.0), (10, 45.0), (20, 0.0)], "%", dots=True)
    assert drawn.count("<circle") == 3
    assert "step 10: 45 %" in drawn
    assert curve([], "%") == ""


def test_bars_share_one_scale_and_escape_their_labels() -> None:
    drawn = bars([("<b>", 2.0, "2 h"), ("c", 1.0, "1 h"), ("d", 0.0, "0 h")])
    assert widths(drawn) == [BAR_WIDTH, BAR_WIDTH / 2, 0]
    assert "<b>" not in drawn
    assert "&lt;b&gt;" in drawn
    assert widths(bars([])) == []


@given(st.lists(st.floats(0, 1000), max_size=6))
def test_the_parts_of_a_stacked_bar_fill_it(values: list[float]) -> None:
    drawn = stacked_bar([(str(n), value, "lost") for n, value in enumerate(values)], "h")
    assert drawn.count("<li") == drawn.count("<rect") == len(values)
    assert sum(widths(drawn)) <= BAR_WIDTH + len(values)


def test_a_histogram_ends_with_its_last_value_or_bound() -> None:
    edges = [float(edge) for edge in range(11)]
    counts = [0, 2, 4, 0, 0, 0, 0, 0, 0, 0]
    drawn = histogram(counts, edges, "s", bounds=[3.0])
    assert "2 to 3 s: 4" in drawn
    assert "5 to 6 s" not in drawn
    assert drawn.count("<line") == 1
    assert "median 2.25 s" in drawn
    assert max(float(h) for h in re.findall(r'height="([\d.]+)"><title>', drawn)) == HISTOGRAM_HEIGHT
    assert sum(width + 1 for width in widths(drawn)) <= HISTOGRAM_WIDTH + 1
