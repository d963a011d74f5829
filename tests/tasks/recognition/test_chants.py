from __future__ import annotations

from itertools import accumulate

import pytest

from tasks.recognition.chants import without_chants
from tasks.recognition.engine import RecognisedWord
from tasks.recognition.quality import QualityFlag, quality_flags
from tasks.transcripts.document import WordTiming

LOOPED = {QualityFlag.COMPRESSES, QualityFlag.REPEATED_WORDS}


def timed(text: str, durations_ms: list[int]) -> list[RecognisedWord]:
    """Words one after another; the durations are repeated as needed."""
    texts = text.split()
    edges = [0, *accumulate(durations_ms[index % len(durations_ms)] for index in range(len(texts)))]
    return [RecognisedWord(t, edges[i], edges[i + 1], 0.9, WordTiming.ATTENTION) for i, t in enumerate(texts)]


def flags(words: list[RecognisedWord], speech_s: float | None = None) -> set[QualityFlag]:
    duration_s = words[-1].end_ms / 1000
    return set(quality_flags(words, duration_s, duration_s if speech_s is None else speech_s))


@pytest.mark.parametrize(
    "phrase", ["Yes, we can!", "no", "four more years", "The people united will never be defeated!", "USA"]
)
@pytest.mark.parametrize("repeats", [4, 10, 15])
def test_a_slogan_at_a_pace_that_can_be_spoken_is_no_loop(phrase: str, repeats: int) -> None:
    words = timed(f"And the crowd shouts {f'{phrase} ' * repeats} until it goes home", [350, 420, 380])
    assert not flags(words) & LOOPED
    assert len(without_chants(words, words[-1].end_ms)) < len(words)


@pytest.mark.parametrize(
    ("durations_ms", "speech_share"),
    [
        ([110, 90], 1.0),  # faster than speech
        ([20, 0, 20, 0, 20, 20, 0, 3_000], 1.0),  # piled up in a few frames
        ([700, 0, 300, 500], 1.0),  # one word of each without length
        ([1_600], 1.0),  # spread thinly over a window
        ([350, 400], 0.5),  # longer than the speech
    ],
)
def test_repetitions_that_cannot_have_been_spoken_are_a_loop(durations_ms: list[int], speech_share: float) -> None:
    words = timed("thank you for watching " * 15, durations_ms)
    assert flags(words, speech_share * words[-1].end_ms / 1000) >= LOOPED
    assert without_chants(words, speech_share * words[-1].end_ms) == words


def test_a_loop_behind_a_chant_is_flagged() -> None:
    chant, loop = timed("yes we can " * 5, [400]), timed("thank you so much " * 12, [40, 60])
    moved = [RecognisedWord(w.text, w.start_ms + 6_000, w.end_ms + 6_000, w.confidence, w.timing) for w in loop]
    assert flags([*chant, *moved]) & LOOPED


def test_two_repetitions_and_none_are_left_as_they_are() -> None:
    words = timed("so far so far the news is good", [300])
    assert without_chants(words, 10_000) == words
    assert without_chants([], 0) == []


@pytest.mark.parametrize("text", ["a" + "h" * 300, "ha" * 60, "ah-" * 20 + "ah"])
def test_a_syllable_without_end_is_flagged(text: str) -> None:
    assert QualityFlag.REPEATED_WORDS in flags(timed(text, [9_000]))


@pytest.mark.parametrize("text", ["........", "♪♪♪", "♪ ♪ ♪ ♪", "- - -"])
def test_signs_are_no_words_for_speech(text: str) -> None:
    assert flags(timed(text, [3_000])) == {QualityFlag.SPEECH_WITHOUT_WORDS}
