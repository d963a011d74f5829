"""Local agreement."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from tasks.streaming.decoding.agreement import count_agreed, normalise, select_uncommitted, without_overlaps
from tasks.streaming.runtime.messages import LiveWord


def words(text: str, start_ms: int = 0, each_ms: int = 400) -> tuple[LiveWord, ...]:
    return tuple(
        LiveWord(text=word, start_ms=start_ms + i * each_ms, end_ms=start_ms + (i + 1) * each_ms, confidence=0.5)
        for i, word in enumerate(text.split())
    )


def test_only_the_common_prefix_of_two_hypotheses_is_committed() -> None:
    before, now = words("the river will rice"), words("The river, will rise again")
    assert count_agreed(before, now, 10_000) == 3
    assert count_agreed(before, now, 900) == 2
    assert count_agreed((), now, 10_000) == 0


def test_committed_words_are_not_repeated() -> None:
    hypothesis = words("the river will rise")
    assert [w.text for w in select_uncommitted(hypothesis, hypothesis[1])] == ["will", "rise"]
    shifted = words("the river will rise", start_ms=60)
    assert [w.text for w in select_uncommitted(shifted, hypothesis[1])] == ["will", "rise"]
    short = (LiveWord(text="a", start_ms=500, end_ms=540, confidence=1),)
    again = (LiveWord(text="a", start_ms=560, end_ms=600, confidence=1),)
    assert select_uncommitted(again, short[0]) == ()


def test_agreement_ignores_punctuation_and_case() -> None:
    assert normalise("Ende!") == normalise("ende") == normalise("“Ende”")


@given(st.lists(st.tuples(st.integers(0, 9_000), st.integers(0, 500)), max_size=20), st.integers(0, 5_000))
def test_times_are_monotonic(times: Sequence[tuple[int, int]], from_ms: int) -> None:
    given_words = [LiveWord(text="x", start_ms=s, end_ms=s + d, confidence=1) for s, d in times]
    ordered = without_overlaps(given_words, from_ms)
    last = from_ms
    for word in ordered:
        assert last <= word.start_ms <= word.end_ms
        last = word.end_ms
