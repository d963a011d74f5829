from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tasks.transcripts.spans import Span, total_ms, union

SPANS = st.lists(st.builds(lambda start, length: Span(start, start + length), st.integers(0, 60), st.integers(0, 20)))


@given(SPANS)
def test_unions_hold_every_millisecond_once(spans: list[Span]):
    joined = union(spans)
    held = {ms for span in spans for ms in range(span.start_ms, span.end_ms)}
    assert {ms for span in joined for ms in range(span.start_ms, span.end_ms)} == held
    assert total_ms(joined) == len(held)
    assert all(before.end_ms < after.start_ms for before, after in pairwise(joined))
