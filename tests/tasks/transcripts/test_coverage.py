from __future__ import annotations

from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from tasks.transcripts.coverage import covered_ms, speech_within, uncovered
from tasks.transcripts.spans import Span


def span(start_ms: int, end_ms: int) -> Span:
    return Span(start_ms=start_ms, end_ms=end_ms)


def test_speech_near_a_word_is_covered() -> None:
    speech = [span(0, 5_000), span(8_000, 12_000)]
    assert covered_ms(speech, [span(1_000, 2_000)]) == 3_000
    assert covered_ms(speech, [span(1_000, 2_000), span(2_500, 3_000), span(11_000, 11_500)]) == 4_000 + 2_000
    assert covered_ms(speech, []) == 0
    assert covered_ms([], [span(0, 100)]) == 0


def spans(numbers: list[int]) -> list[Span]:
    """In order, without overlap."""
    edges = sorted(set(numbers))
    return [span(a, b) for a, b in zip(edges[0::2], edges[1::2], strict=False)]


edges = st.lists(st.integers(0, 300), max_size=30)


@given(edges, edges, st.integers(0, 40))
def test_coverage_equals_a_count_of_milliseconds(speech: list[int], words: list[int], reach_ms: int) -> None:
    speaking = {ms for s in spans(speech) for ms in range(s.start_ms, s.end_ms)}
    near = {ms for w in spans(words) for ms in range(max(0, w.start_ms - reach_ms), w.end_ms + reach_ms)}
    assert covered_ms(spans(speech), spans(words), reach_ms) == len(speaking & near)


@given(edges, edges)
def test_speech_within_spans(speech: list[int], others: list[int]) -> None:
    speaking = {ms for s in spans(speech) for ms in range(s.start_ms, s.end_ms)}
    expected = [len(speaking & set(range(o.start_ms, o.end_ms))) for o in spans(others)]
    found = [sum(span.duration_ms for span in shared) for shared in speech_within(spans(speech), spans(others))]
    assert found == expected


@given(edges, edges, st.integers(0, 40), st.integers(1, 30))
def test_stretches_without_a_word(speech: list[int], words: list[int], reach_ms: int, min_ms: int) -> None:
    near = {ms for w in spans(words) for ms in range(max(0, w.start_ms - reach_ms), w.end_ms + reach_ms)}
    expected = []
    for stretch in spans(speech):
        for is_near, run in groupby(range(stretch.start_ms, stretch.end_ms), key=near.__contains__):
            far = [*run]
            if not is_near and len(far) >= min_ms:
                expected.append(Span(start_ms=far[0], end_ms=far[-1] + 1))
    assert [*uncovered(spans(speech), spans(words), reach_ms, min_ms)] == expected
