from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.recognition.engine import RecognisedWord, Recognition
from tasks.recognition.quality import QualityFlag, QualityGate, has_loop, longest_repeat, quality_flags
from tasks.recognition.retry import join_halves, split_at_quietest
from tasks.transcripts.document import WordTiming


def spoken(text: str, confidence: float = 0.9, word_ms: int = 300) -> list[RecognisedWord]:
    return [
        RecognisedWord(word, index * word_ms, (index + 1) * word_ms, confidence, WordTiming.CTC)
        for index, word in enumerate(text.split())
    ]


def test_ordinary_speech_is_not_flagged() -> None:
    text = "good evening here is the news the council has voted for the new bridge over the river"
    assert quality_flags(spoken(text), duration_s=6.0, speech_s=5.5) == ()


def test_a_repetition_loop_is_flagged() -> None:
    flags = quality_flags(spoken("thank you for watching " * 12), duration_s=20.0, speech_s=14.0)
    assert {QualityFlag.COMPRESSES, QualityFlag.REPEATED_WORDS} <= set(flags)


def test_words_without_speech_and_speech_without_words() -> None:
    assert quality_flags(spoken("thank you"), duration_s=5.0, speech_s=0.0) == (QualityFlag.WORDS_WITHOUT_SPEECH,)
    assert quality_flags([], duration_s=5.0, speech_s=4.0) == (QualityFlag.SPEECH_WITHOUT_WORDS,)
    assert quality_flags([], duration_s=5.0, speech_s=0.5) == ()  # a cough


def test_more_characters_than_can_be_spoken_in_the_time() -> None:
    assert QualityFlag.TOO_FAST in quality_flags(
        spoken("incomprehensibilities " * 3, word_ms=100), duration_s=1.0, speech_s=1.0
    )


def test_a_low_probability_by_the_model_itself() -> None:
    assert quality_flags(spoken("good evening", confidence=0.2), duration_s=1.0, speech_s=1.0) == (
        QualityFlag.IMPROBABLE,
    )


def test_repeats_are_counted() -> None:
    assert longest_repeat([]) == 0
    assert longest_repeat(["no"]) == 1
    assert longest_repeat(["no", "no", "no"]) == 3
    assert longest_repeat(["No,", "no.", "NO"]) == 3
    assert longest_repeat(["so", "far", "so", "far", "so"]) == 2
    assert longest_repeat(["one", "two", "three", "four"] * 3) == 3
    assert longest_repeat(["4", "4", "4", "4", "4", "4"]) == 1


REAL = "Good evening and welcome to the programme, tonight we hear from the ministers."
WORDS = [f"{a}{b}" for a in "bdfg" for b in ("a", "e", "i", "o")]


@pytest.mark.parametrize("n_words", range(1, 17))
def test_a_phrase_of_any_length_behind_real_words_is_a_loop(n_words: int) -> None:
    phrase = WORDS[:n_words]
    n = 5 if n_words <= 4 else 4
    assert has_loop([*REAL.split(), *phrase * n], QualityGate())
    assert has_loop([*REAL.split(), *phrase * n, *phrase[: n_words // 2]], QualityGate())
    assert has_loop([*REAL.split(), *phrase * n, *REAL.split()], QualityGate())
    assert not has_loop([*REAL.split(), *phrase * 2], QualityGate())


def test_a_long_phrase_three_times_until_the_end_is_a_loop() -> None:
    loop = ["It's", "not", "a", "good", "idea", "to", "do", "that."]
    assert has_loop([*REAL.split(), *loop * 3], QualityGate())
    assert not has_loop([*loop * 3, *REAL.split()], QualityGate())


@pytest.mark.parametrize(
    "text",
    [
        "Yes we can! Yes we can! Yes we can!",
        "We want our jobs back now! We want our jobs back now!",
        "We shall fight on the beaches, we shall fight on the landing grounds, we shall fight in the fields and in the "
        "streets, we shall fight in the hills; we shall never surrender.",
        "Every day we fight, every day we win, every day we hope, every day we go home.",
        "The number is 0 8 0 0 5 5 5 5 5 5 5 5 5 5.",
        "Location, location, location, location.",
    ],
)
def test_rhetoric_is_no_loop(text: str) -> None:
    assert not has_loop([*REAL.split(), *text.split()], QualityGate())


def test_numbers_in_a_phrase_do_not_hide_a_loop() -> None:
    assert has_loop(["I", "have", "5", "dogs", "and", "3", "cats"] * 4, QualityGate())


@given(st.integers(0, 20_000))
def test_splitting_loses_no_sample(n_samples: int) -> None:
    samples = np.arange(n_samples, dtype=np.float32)
    first, second = split_at_quietest(samples)
    assert np.array_equal(np.concatenate([first, second]), samples)
    assert len(first) % 16 == 0  # a whole millisecond


def test_the_split_is_at_the_quietest_point() -> None:
    samples = np.ones(32_000, dtype=np.float32)
    samples[17_000:18_000] = 0
    first, _ = split_at_quietest(samples)
    assert 17_000 <= len(first) <= 18_000


def test_joined_halves_keep_their_times() -> None:
    both = join_halves(Recognition(tuple(spoken("good"))), Recognition(tuple(spoken("evening")), "en"), 1000)
    assert [(word.text, word.start_ms) for word in both.words] == [("good", 0), ("evening", 1000)]
    assert both.language == "en"
