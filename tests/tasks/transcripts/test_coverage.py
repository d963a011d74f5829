from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tasks.transcripts.coverage import coverage
from tasks.transcripts.document import Word
from tasks.transcripts.spans import Span, shared_ms, union
from tests.tasks.transcripts.builders import word

SPANS = st.lists(st.builds(lambda start, length: Span(start, start + length), st.integers(0, 60), st.integers(0, 20)))


def milliseconds(spans: list[Span]) -> set[int]:
    return {ms for span in spans for ms in range(span.start_ms, span.end_ms)}


@given(SPANS, SPANS)
def test_unions_and_what_they_share(left: list[Span], right: list[Span]):
    joined = union(left)
    assert milliseconds(joined) == milliseconds(left)
    assert all(before.end_ms < after.start_ms for before, after in pairwise(joined))
    assert shared_ms(joined, union(right)) == len(milliseconds(left) & milliseconds(right))


@given(SPANS, st.integers(0, 10))
def test_bridged_gaps_are_closed_and_others_stay(spans: list[Span], bridged_ms: int):
    plain, bridged = union(spans), union(spans, bridged_ms)
    assert milliseconds(plain) <= milliseconds(bridged)
    assert all(after.start_ms - before.end_ms > bridged_ms for before, after in pairwise(bridged))


def test_coverage_of_speech():
    words: list[Word] = [word("in", 1_000, 1_400), word("speech", 1_700, 2_000), word("outside", 9_000, 9_500)]
    found = coverage([Span(900, 2_100), Span(4_000, 6_000)], words, [Span(0, 3_000), Span(2_000, 4_000)])
    assert (found.speech_ms, found.covered_ms, found.redecoded_ms) == (3_200, 1_000, 4_000)


def test_no_speech_is_covered_by_nothing():
    found = coverage([], [word("invented", 0, 900)])
    assert (found.speech_ms, found.covered_ms) == (0, 0)
