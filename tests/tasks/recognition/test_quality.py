from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tasks.recognition.engine import Recognition, Word
from tasks.recognition.quality import Sign, doubts, longest_repeat
from tasks.recognition.retry import halves, joined
from tasks.transcripts.document import WordTiming


def spoken(text: str, confidence: float = 0.9, word_ms: int = 300) -> list[Word]:
    return [
        Word(word, index * word_ms, (index + 1) * word_ms, confidence, WordTiming.CTC)
        for index, word in enumerate(text.split())
    ]


def test_ordinary_speech_is_believed() -> None:
    text = "good evening here is the news the council has voted for the new bridge over the river"
    assert doubts(spoken(text), duration_s=6.0, speech_s=5.5) == ()


def test_a_loop_is_doubted() -> None:
    signs = doubts(spoken("thank you for watching " * 12), duration_s=20.0, speech_s=14.0)
    assert {Sign.COMPRESSES, Sign.REPEATED_WORDS} <= set(signs)


def test_silence_with_words_and_speech_without() -> None:
    assert doubts(spoken("thank you"), duration_s=5.0, speech_s=0.0) == (Sign.WORDS_WITHOUT_SPEECH,)
    assert doubts([], duration_s=5.0, speech_s=4.0) == (Sign.SPEECH_WITHOUT_WORDS,)
    assert doubts([], duration_s=5.0, speech_s=0.5) == ()  # a cough


def test_what_nobody_can_say_in_the_time() -> None:
    assert Sign.TOO_FAST in doubts(spoken("incomprehensibilities " * 3, word_ms=100), duration_s=1.0, speech_s=1.0)


def test_what_the_model_doubts_itself() -> None:
    assert doubts(spoken("good evening", confidence=0.2), duration_s=1.0, speech_s=1.0) == (Sign.IMPROBABLE,)


def test_repeats_are_counted() -> None:
    assert longest_repeat([]) == 0
    assert longest_repeat(["no"]) == 1
    assert longest_repeat(["no", "no", "no"]) == 3
    assert longest_repeat(["No,", "no.", "NO"]) == 3
    assert longest_repeat(["so", "far", "so", "far", "so"]) == 2
    assert longest_repeat(["one", "two", "three", "four"] * 3) == 3
    assert longest_repeat(["4", "4", "4", "4", "4", "4"]) == 1


@given(st.integers(0, 20_000))
def test_halves_lose_nothing(n_samples: int) -> None:
    samples = np.arange(n_samples, dtype=np.float32)
    first, second = halves(samples)
    assert np.array_equal(np.concatenate([first, second]), samples)
    assert len(first) % 16 == 0  # a whole millisecond


def test_the_cut_is_where_it_is_quiet() -> None:
    samples = np.ones(32_000, dtype=np.float32)
    samples[17_000:18_000] = 0
    first, _ = halves(samples)
    assert 17_000 <= len(first) <= 18_000


def test_joined_halves_keep_their_times() -> None:
    both = joined(Recognition(tuple(spoken("good"))), Recognition(tuple(spoken("evening")), "en"), 1000)
    assert [(word.text, word.start_ms) for word in both.words] == [("good", 0), ("evening", 1000)]
    assert both.language == "en"
