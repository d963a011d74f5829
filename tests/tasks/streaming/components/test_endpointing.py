"""Endpointing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tasks.streaming.components.endpointing import WINDOW_MS, EndpointState, advance, close


@given(st.lists(st.sampled_from([0.0, 0.15, 0.9]), max_size=200), st.lists(st.integers(1, 9), min_size=1, max_size=50))
def test_endpoints_do_not_depend_on_message_boundaries(probabilities: list[float], lengths: list[int]) -> None:
    whole, pieces = EndpointState(), EndpointState()
    expected = advance(whole, probabilities, 0)
    found, at = [], 0
    while at < len(probabilities):
        n = lengths[at % len(lengths)]
        found += advance(pieces, probabilities[at : at + n], at * WINDOW_MS)
        at += n
    assert (found, pieces) == (expected, whole)
    end_ms = len(probabilities) * WINDOW_MS
    utterances = expected + close(whole, end_ms)
    assert all(u.start_ms < u.end_ms for u in utterances)


def test_a_pause_ends_an_utterance_and_a_breath_does_not() -> None:
    state = EndpointState()
    assert advance(state, [0.9] * 20 + [0.01] * 10 + [0.9] * 20, 0) == []
    (ended,) = advance(state, [0.01] * 20, 50 * WINDOW_MS)
    assert ended.start_ms == 0
    assert ended.end_ms == 50 * WINDOW_MS + 400
