from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.audio import SAMPLES_PER_MS
from tasks.recognition.engine import RecognisedWord
from tasks.recognition.spoken_words import MAX_LETTER_MS, MAX_SIGN_MS, MAX_WORD_MS, as_spoken, is_drawn_out, is_spoken
from tasks.transcripts.document import WordTiming
from tasks.transcripts.spans import Span

LENGTH_MS = 12_000
ALL = [Span(0, LENGTH_MS)]


def sound(*spans: tuple[int, int], floor: float = 1e-4) -> np.ndarray:
    """Noise in the spans, in milliseconds, over a faint background, `(n_samples,)`."""
    noise = np.random.default_rng(1).standard_normal(LENGTH_MS * SAMPLES_PER_MS).astype(np.float32)
    level = np.full(len(noise), floor, np.float32)
    for start_ms, end_ms in spans:
        level[start_ms * SAMPLES_PER_MS : end_ms * SAMPLES_PER_MS] = 0.1
    return noise * level


def word(text: str, start_ms: int, end_ms: int) -> RecognisedWord:
    return RecognisedWord(text, start_ms, end_ms, 0.9, WordTiming.ATTENTION)


def times(words: tuple[RecognisedWord, ...]) -> list[tuple[str, int, int]]:
    return [(one.text, one.start_ms, one.end_ms) for one in words]


def test_ordinary_words_keep_their_times() -> None:
    words = [word("good", 1_000, 1_310), word("evening.", 1_310, 2_000), word("Here", 2_700, 2_950)]
    assert as_spoken(words, sound((1_000, 2_000), (2_700, 2_950)), ALL) == tuple(words)


@pytest.mark.parametrize("spoken", [(1_000, 1_400), (2_300, 2_700), (4_500, 4_900)])
def test_a_word_does_not_span_a_pause(spoken: tuple[int, int]) -> None:
    """Whisper stretches the last word before a pause and the first after it."""
    (found,) = as_spoken([word("evening", 1_000, 4_900)], sound(spoken), ALL)
    assert (found.start_ms, found.end_ms) == pytest.approx(spoken, abs=300)
    assert found.start_ms <= spoken[0]
    assert found.end_ms >= spoken[1]


def test_of_two_sounds_with_a_pause_between_the_word_is_the_louder() -> None:
    samples = sound((1_000, 1_100), (2_000, 2_500))
    assert times(as_spoken([word("evening", 1_000, 2_500)], samples, ALL)) == [("evening", 2_000, 2_500)]


def test_a_word_lies_in_one_stretch_of_speech() -> None:
    speech = [Span(0, 1_500), Span(4_000, 6_000)]
    hum = sound((0, LENGTH_MS))
    assert times(as_spoken([word("late", 1_200, 4_700)], hum, speech)) == [("late", 4_000, 4_700)]
    assert times(as_spoken([word("late", 2_000, 3_000)], hum, speech)) == [("late", 2_000, 3_000)]


@pytest.mark.parametrize("text", ["a", "evening", "Rindfleischetikettierungsgesetz"])
def test_no_word_is_longer_than_its_letters_take(text: str) -> None:
    (found,) = as_spoken([word(text, 500, 11_000)], sound((0, LENGTH_MS)), ALL)
    assert found.end_ms - found.start_ms <= MAX_WORD_MS + MAX_SIGN_MS + MAX_LETTER_MS * len(text)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("1-5-0-4-9", ["1", "5", "0", "4", "9"]),
        ("A-I-R,", ["A", "I", "R,"]),
        ("(b–b–c)", ["(b", "b", "c)"]),
        ("1,5,0,4", ["1", "5", "0", "4"]),
        ("4.0.4.2.", ["4", "0", "4", "2."]),
        ("state-of-the-art", ["state-of-the-art"]),
        ("U.S.A.", ["U.S.A."]),
        ("T-V", ["T-V"]),
        ("1,504", ["1,504"]),
        ("2024-05-01", ["2024-05-01"]),
    ],
)
def test_a_spelled_string_becomes_words_with_times_of_their_own(text: str, parts: list[str]) -> None:
    found = as_spoken([word(text, 1_000, 2_400)], sound((0, LENGTH_MS)), ALL)
    assert [one.text for one in found] == parts
    assert found[0].start_ms == 1_000
    assert found[-1].end_ms == 2_400
    assert all(a.end_ms == b.start_ms for a, b in pairwise(found))


def test_a_number_that_takes_too_long_was_read_digit_by_digit() -> None:
    digits = "150493827160593827160593821"
    hum = sound((0, LENGTH_MS))
    assert [one.text for one in as_spoken([word(digits, 0, 11_000)], hum, ALL)] == list(digits)
    assert [one.text for one in as_spoken([word("15049.", 0, 3_100)], hum, ALL)] == ["1", "5", "0", "4", "9."]
    assert [one.text for one in as_spoken([word("15049.", 0, 1_500)], hum, ALL)] == ["15049."]
    assert [one.text for one in as_spoken([word("616-0", 0, 2_240)], hum, ALL)] == ["6", "1", "6", "0"]
    assert [one.text for one in as_spoken([word("616-0", 0, 1_200)], hum, ALL)] == ["616-0"]


@pytest.mark.parametrize(
    ("text", "shortened"),
    [
        ("a" + "h" * 300, "ahhh"),
        ("A" * 12, "AAA"),
        ("ha" * 40, "hahaha"),
        ("ah-" * 30 + "ah", "ah-ah-ah-ah"),
        ("Nooooo!", "Nooooo!"),
        ("hahaha", "hahaha"),
        ("100000000000", "100000000000"),
        ("blah-blah-blah", "blah-blah-blah"),
    ],
)
def test_a_syllable_without_end_is_shortened(text: str, shortened: str) -> None:
    (found,) = as_spoken([word(text, 0, 1_000)], sound((0, LENGTH_MS)), ALL)
    assert found.text == shortened
    assert is_drawn_out(text) == (text != shortened)


@pytest.mark.parametrize("text", ["........", "...", "♪♪♪", "♪", "-", "…", "[]", "🎵🎵", "*", "~~~~", "? ? ?"])
def test_what_cannot_be_said_is_no_word(text: str) -> None:
    assert not is_spoken(text)
    good = word("good", 0, 300)
    assert as_spoken([good, word(text, 300, 900)], sound((0, LENGTH_MS)), ALL) == (good,)


@pytest.mark.parametrize("text", ["a", "5", "%", "&", "€", "好", "и", "½", "+"])
def test_signs_that_are_read_out_are_words(text: str) -> None:
    assert is_spoken(text)


@given(st.lists(st.tuples(st.integers(0, 12_500), st.integers(0, 4_000), st.text(min_size=1, max_size=40)), max_size=8))
def test_times_never_decrease_and_stay_in_the_chunk(drawn: list[tuple[int, int, str]]) -> None:
    words, end_ms = [], 0
    for start_ms, duration_ms, text in sorted(drawn):
        start_ms = min(start_ms, LENGTH_MS)
        end_ms = max(end_ms, min(start_ms + duration_ms, LENGTH_MS))
        words.append(word(text, start_ms, end_ms))
    found = as_spoken(words, sound((500, 900), (3_000, 7_000)), [Span(200, 1_200), Span(2_600, 7_400)])
    starts, ends = [one.start_ms for one in found], [one.end_ms for one in found]
    assert starts == sorted(starts)
    assert ends == sorted(ends)
    assert all(0 <= s <= e <= LENGTH_MS for s, e in zip(starts, ends, strict=True))
