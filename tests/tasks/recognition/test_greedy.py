from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.recognition.greedy import Emission, collapse, symbol_table, to_words
from tasks.transcripts.document import WordTiming

CHARACTERS = ["<blank>", "<unk>", " ", ".", "a", "b", "c"]
BLANK = 0


def decode(frames: list[int], tokens: list[str] = CHARACTERS, duration_ms: int = 60_000):
    posteriors = np.full(len(frames), 0.9)
    return to_words(
        collapse(np.array(frames), posteriors, BLANK),
        symbol_table(tokens, {0, 1} if tokens[1] == "<unk>" else {0}),
        40.0,
        duration_ms,
    )


def test_repeats_are_merged_unless_a_blank_separates_them() -> None:
    #                                   a  a  b     b  _        c
    assert [w.text for w in decode([0, 4, 4, 5, 0, 5, 2, 2, 0, 6, 0])] == ["abb", "c"]


def test_times_come_from_the_frames() -> None:
    (first, second) = decode([0, 0, 4, 4, 5, 0, 2, 0, 6, 0])
    assert (first.start_ms, first.end_ms) == (60, 180)  # frames 2 to 4, half a frame around
    assert (second.start_ms, second.end_ms) == (300, 340)


def test_a_word_stays_inside_its_chunk() -> None:
    (word,) = decode([4, 5, 6], duration_ms=100)
    assert (word.start_ms, word.end_ms) == (0, 100)


def test_confidence_is_the_geometric_mean_of_the_symbols() -> None:
    found = [Emission(4, 0, 1, 0.5), Emission(5, 1, 2, 0.125)]
    (word,) = to_words(found, symbol_table(CHARACTERS, {0, 1}), 40.0, 1000)
    assert word.confidence == pytest.approx(0.25)


def test_a_symbols_confidence_is_its_best_frame() -> None:
    (found,) = collapse(np.array([4, 4, 4]), np.array([0.2, 0.8, 0.4]), BLANK)
    assert found == Emission(4, 0, 3, 0.8)


def test_pieces_of_sentencepiece() -> None:
    tokens = ["<pad>", "<unk>", "▁the", "▁ca", "t", "▁", "s", "<0xC3>", "<0xA9>"]
    # "▁" alone starts a word with the next piece; byte tokens are joined to one character.
    assert [w.text for w in decode([2, 0, 3, 4, 5, 6, 7, 8], tokens)] == ["the", "cat", "sé"]


def test_no_frames_no_words() -> None:
    assert decode([]) == ()
    assert decode([0, 0, 0]) == ()
    assert decode([2, 2, 1]) == ()  # a space and an unknown


@given(st.lists(st.integers(0, 6), max_size=80), st.integers(0, 4000))
def test_words_are_in_order_and_inside(frames: list[int], duration_ms: int) -> None:
    found = decode(frames, duration_ms=duration_ms)
    times = [time for word in found for time in (word.start_ms, word.end_ms)]
    assert times == sorted(times)
    assert all(0 <= time <= duration_ms for time in times)


@given(st.lists(st.integers(0, 6), max_size=80))
def test_the_text_is_what_ctc_defines(frames: list[int]) -> None:
    collapsed = [f for i, f in enumerate(frames) if f != BLANK and (i == 0 or frames[i - 1] != f)]
    spelled = "".join("" if f == 1 else CHARACTERS[f] for f in collapsed)
    letters = "".join(word.text for word in decode(frames))
    assert letters.replace(".", "") == spelled.replace(" ", "").replace(".", "")
    assert len(decode(frames)) == sum(any(c.isalnum() for c in word) for word in spelled.split())


def test_punctuation_on_its_own_belongs_to_the_word_before() -> None:
    assert [w.text for w in decode([4, 2, 3, 2, 5])] == ["a.", "b"]
    assert [w.text for w in decode([4, 3, 2, 3, 2, 5])] == ["a.", "b"]
    assert decode([0, 3, 2, 0, 3]) == ()


def test_signs_that_are_read_aloud_are_words() -> None:
    tokens = ["<blank>", " ", "5", "%", "€", "&", "a", ","]
    found = decode([2, 1, 3, 1, 4, 1, 5, 1, 6, 1, 7], tokens)
    assert [w.text for w in found] == ["5", "%", "€", "&", "a,"]
    times = [time for word in found for time in (word.start_ms, word.end_ms)]
    assert times == sorted(times)
    assert {w.timing for w in found} == {WordTiming.CTC}
