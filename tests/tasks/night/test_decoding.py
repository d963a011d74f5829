"""A programme's decoding: the detection of its language, and the fallbacks for suspect chunks."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import soxr
from hypothesis import given
from hypothesis import strategies as st

from local.demo.synthesis.espeak import ESPEAK_RATE_HZ, Voice, speak
from tasks.night.decoding import AudioChunk, ProgrammeDecoding
from tasks.night.fallback import Hearing, decode, fill_gaps
from tasks.recognition import Hints, RecognisedWord, Recognition
from tasks.recognition.quality import QualityFlag
from tasks.transcripts.document import WordTiming
from tasks.transcripts.spans import Span
from tests.tasks.night.builders import preparation

TEXT = "good evening here is the news of the day from all over the land"
LOOP = "thank you for watching " * 40  # faster than can be spoken


def spoken(text: str, length_ms: int) -> tuple[RecognisedWord, ...]:
    texts = text.split()
    each_ms = length_ms // max(len(texts), 1)
    return tuple(RecognisedWord(t, n * each_ms, (n + 1) * each_ms, 0.9, WordTiming.CTC) for n, t in enumerate(texts))


class Scripted:
    """An engine with a script: the text of a chunk by its length in seconds and by whether it is the fallback."""

    detects_languages, batch_s = True, 3.0
    name, max_chunk_s, join_pause_s, has_fixed_window = "scripted", 30.0, 0.6, False

    def __init__(self, script: dict[tuple[int, bool], str]) -> None:
        self.script = script
        self.calls: list[tuple[list[int], set[str | None], bool]] = []

    def detect_languages(self, chunks: Iterable[np.ndarray]) -> list[dict[str, float]]:
        return [{"en": 1.0} for _ in chunks]

    def recognise(
        self, chunks: Sequence[np.ndarray], hints: Sequence[Hints] | None = None, fallback: bool = False
    ) -> list[Recognition]:
        lengths_s = [round(len(chunk) / 16_000) for chunk in chunks]
        self.calls.append((lengths_s, {hint.language for hint in hints or ()}, fallback))
        return [
            Recognition(spoken(self.script.get((s, fallback), TEXT), len(c) // 16), "en")
            for s, c in zip(lengths_s, chunks, strict=True)
        ]


def decoded(
    engine: Scripted, *lengths_s: int, requested: str | None = None
) -> list[tuple[str, tuple[QualityFlag, ...], bool]]:
    """Decode silent chunks: they are split into a quarter and three quarters."""
    decoding = programme(1, requested)
    decoding.choose_language([{"en": 1.0}])
    chunks, at_ms = [], 0
    for length_s in lengths_s:
        span = Span(start_ms=at_ms, end_ms=at_ms + 1000 * length_s)
        chunks.append(AudioChunk(decoding, span, (span,), np.zeros(16_000 * length_s, np.float32)))
        at_ms = span.end_ms
    return [(found.recognition.text, found.flags, found.redecoded) for found in decode(engine, chunks)]


def test_chunks_without_flags_are_decoded_once() -> None:
    engine = Scripted({})
    assert decoded(engine, 10, 12) == [(TEXT, (), False)] * 2
    assert engine.calls == [([10, 12], {"en"}, False)]


def test_only_flagged_chunks_are_decoded_again_in_halves() -> None:
    engine = Scripted({(20, False): LOOP})
    good, looped = decoded(engine, 12, 20)
    assert good == (TEXT, (), False)
    assert looped == (f"{TEXT} {TEXT}", (), True)
    assert [(lengths, fallback) for lengths, _, fallback in engine.calls] == [([12, 20], False), ([5, 15], False)]
    assert engine.calls[-1][1] == {"en"}, "each half in the language of the programme"


def test_halves_that_are_flagged_too_are_decoded_with_the_engines_fallback() -> None:
    engine = Scripted({(20, False): LOOP, (5, False): LOOP, (15, False): LOOP})
    assert decoded(engine, 20) == [(f"{TEXT} {TEXT}", (), True)]
    assert [fallback for _, _, fallback in engine.calls] == [False, False, True]
    assert engine.calls[-1][1] == {"en"}, "each half in the language of the whole"


def test_a_requested_language_wins_over_the_detected_one_in_every_pass() -> None:
    engine = Scripted(dict.fromkeys(itertools.product((20, 5, 15), (False, True)), LOOP))
    decoded(engine, 20, requested="cy")  # en is detected
    assert [languages for _, languages, _ in engine.calls] == [{"cy"}] * 3


def test_chunks_that_remain_suspect_are_kept_and_marked() -> None:
    engine = Scripted(dict.fromkeys(itertools.product((20, 5, 15), (False, True)), LOOP))
    ((text, flags, redecoded),) = decoded(engine, 20)
    assert text == LOOP.strip()
    assert {QualityFlag.COMPRESSES, QualityFlag.REPEATED_WORDS} <= set(flags)
    assert redecoded


def test_the_text_decides_between_two_languages() -> None:
    """Digits read by a Mandarin speaker: the ballot is for Chinese, the text is far more probable in English."""

    class Bilingual(Scripted):
        def detect_languages(self, chunks: Iterable[np.ndarray]) -> list[dict[str, float]]:
            return [{"zh": 0.63, "en": 0.10} for _ in chunks]

        def recognise(self, chunks: Sequence[np.ndarray], hints: Sequence[Hints], *_: object) -> list[Recognition]:  # type: ignore[override]
            texts = {"zh": ("1-5-8", -4.0), "en": ("One, five, four, eight.", -2.3)}
            found = [(hint.language, *texts[hint.language or ""]) for hint in hints]
            return [Recognition(spoken(text, 2_000), language, lp) for language, text, lp in found]

    decoding, span = programme(1), Span(start_ms=0, end_ms=2_500)
    decoding.chunks, decoding.language_samples = (span,), [np.zeros(40_000, np.float32)]
    (found,) = decode(Bilingual({}), [AudioChunk(decoding, span, (span,), np.zeros(40_000, np.float32))])
    assert (found.recognition.language, found.recognition.text) == ("en", "One, five, four, eight.")


def test_a_chunk_that_voted_is_not_heard_again_for_its_language() -> None:
    heard: list[list[int]] = []

    class Listening(Scripted):
        def detect_languages(self, chunks: Iterable[np.ndarray]) -> list[dict[str, float]]:
            heard.append([len(chunk) // 16_000 for chunk in chunks])
            return [{"en": 1.0} for _ in heard[-1]]

    decoding = programme(4)
    decoding.chunks = tuple(Span(start_ms=10_000 * n, end_ms=10_000 * n + 1000 * (5 + n)) for n in range(4))
    audio = {span: np.zeros(16 * span.duration_ms, np.float32) for span in decoding.chunks}
    decoding.language_samples = [audio[span] for span in decoding.language_chunks]
    found = list(decode(Listening({}), [AudioChunk(decoding, span, (span,), audio[span]) for span in audio]))
    (together,) = heard
    assert sorted(together) == [5, 6, 7, 8]
    assert [one.recognition.language for one in found] == ["en"] * 4


def decoded_without_words_in_halves(
    text: str, speech_ms: int, confidence: float
) -> tuple[str, tuple[QualityFlag, ...]]:
    """Decode a chunk of 10 s whose halves have no words for the engine."""
    span, decoding = Span(start_ms=0, end_ms=10_000), programme(1)

    class Unsure(Scripted):
        def recognise(self, chunks: Sequence[np.ndarray], *others: object) -> list[Recognition]:  # type: ignore[override]
            found = super().recognise(chunks)
            return [Recognition(tuple(replace(w, confidence=confidence) for w in r.words)) for r in found]

    engine = Unsure({(10, False): text, **dict.fromkeys(itertools.product((2, 3, 7, 8), (False, True)), "")})
    chunk = AudioChunk(decoding, span, (Span(start_ms=0, end_ms=speech_ms),), np.zeros(160_000, np.float32))
    (found,) = decode(engine, [chunk])
    return found.recognition.text, found.flags


def test_words_are_not_replaced_by_none() -> None:
    """Less than two seconds of speech need no word, so an empty recognition has no flags."""
    found = decoded_without_words_in_halves("fire in brixton tonight", 1_900, 0.2)
    assert found == ("fire in brixton tonight", (QualityFlag.IMPROBABLE,))
    found = decoded_without_words_in_halves("no no no no no", 1_900, 0.9)
    assert found == ("no no no no no", (QualityFlag.REPEATED_WORDS,))


@cache
def voice() -> np.ndarray:
    """A synthetic voice, `(n_samples,)` at 16 kHz."""
    return soxr.resample(speak(TEXT, Voice("en-us", "m3")), ESPEAK_RATE_HZ, 16_000)


def hearing(*words: tuple[str, int, int, float], length_ms: int = 20_000, is_silent: bool = False) -> Hearing:
    """A chunk of speech with these words: text, start, end and confidence."""
    span = Span(start_ms=60_000, end_ms=60_000 + length_ms)
    samples = np.zeros(16 * length_ms, np.float32) if is_silent else np.resize(voice(), 16 * length_ms)
    return Hearing(AudioChunk(programme(1), span, (span,), samples), recognition(*words))


def recognition(*words: tuple[str, int, int, float]) -> Recognition:
    return Recognition(tuple(RecognisedWord(*word, WordTiming.ATTENTION) for word in words))


def spread(n: int, until_ms: int, confidence: float) -> list[tuple[str, int, int, float]]:
    each_ms = until_ms // n
    return [(f"w{index}", index * each_ms, (index + 1) * each_ms, confidence) for index in range(n)]


def test_a_second_hearing_with_fewer_words_does_not_replace_more_unless_those_are_less_sure() -> None:
    many, few = spread(30, 20_000, 0.36), spread(14, 20_000, 0.6)
    assert hearing(*many).or_better(recognition(*few)).recognition == recognition(*many), "30 words for 14"
    surer = spread(20, 20_000, 0.6)
    assert hearing(*many).or_better(recognition(*surer)).recognition == recognition(*surer)


def test_a_repetition_that_is_lost_keeps_its_mark() -> None:
    loop = [("no", 1_000 * n, 1_000 * n + 900, 0.9) for n in range(20)]
    resolved = hearing(*loop).or_better(recognition(*spread(10, 8_000, 0.9)))
    assert len(resolved.recognition.words) == 10
    assert {QualityFlag.SPEECH_PASSED_OVER, QualityFlag.REPEATED_WORDS} <= set(resolved.flags)
    whole = hearing(*loop).or_better(recognition(*spread(10, 20_000, 0.9)))
    assert whole.flags == (), "words all over the speech"


def test_every_stretch_without_text_is_heard_from_word_to_word() -> None:
    first = hearing(("one", 0, 500, 0.9), ("two", 8_000, 8_500, 0.9), ("three", 16_000, 16_500, 0.9))
    assert first.flags == (QualityFlag.SPEECH_PASSED_OVER,)
    assert [(gap.start_ms, gap.end_ms) for gap in first.gaps()] == [
        (60_500, 68_000),
        (68_500, 76_000),
        (76_500, 80_000),
    ]
    heard = [first.with_gap(first.gaps()[1], recognition(("two", 0, 90, 0.9), *spread(5, 7_500, 0.8)))]
    heard.append(heard[0].with_gap(first.gaps()[0], recognition(*[("no", 0, 100, 0.9)] * 20)))
    texts = [word.text for word in heard[0].recognition.words]
    assert texts == ["one", "two", "w0", "w1", "w2", "w3", "w4", "three"], "the word at the edge once"
    starts = [word.start_ms for word in heard[0].recognition.words]
    assert starts == sorted(starts)
    assert heard[1] == heard[0], "invented text fills no gap"
    silent = hearing(("one", 0, 500, 0.9), is_silent=True)
    assert silent.with_gap(silent.gaps()[0], recognition(*spread(5, 7_500, 0.8))) == silent, "nobody speaks in it"


def test_a_gap_that_brings_nothing_is_heard_in_its_stretches() -> None:
    """Three sentences of another reader, heard together, became a repetition loop."""
    speech = tuple(Span(60_000 + at, 60_000 + at + 5_000) for at in (0, 6_000, 12_000, 18_000))
    first = hearing(*spread(10, 5_000, 0.9), length_ms=23_000)
    hearings = [replace(first, chunk=replace(first.chunk, speech=speech))]
    engine = Scripted({(18, False): "no " * 40, (5, False): "good evening to you all"})
    fill_gaps(engine, hearings)
    assert [lengths_s for lengths_s, _, _ in engine.calls] == [[18], [5, 5, 5]]
    assert hearings[0].recognition.text.count("good evening to you all") == 3
    assert hearings[0].gaps() == []


def test_a_word_stretched_over_lost_speech_does_not_cover_it() -> None:
    """What Whisper base made of six sentences: the beginning of the fifth stands where the first four were."""
    words = (("I", 0, 700, 0.6), ("have", 700, 15_000, 0.6), ("nothing.", 15_000, 15_900, 0.9))
    first = hearing(*words, length_ms=16_000)
    (gap,) = first.gaps()
    assert (gap.start_ms, gap.end_ms) == (61_700, 74_000)
    filled = first.with_gap(gap, recognition(*spread(20, 12_000, 0.8)))
    assert [word.text for word in filled.recognition.words][-4:] == ["w19", "I", "have", "nothing."]
    assert [word.start_ms for word in filled.recognition.words] == sorted(w.start_ms for w in filled.recognition.words)
    assert hearing(("1-5-0-4-2-2", 0, 4_500, 0.9), length_ms=4_500).flags == (), "a spelled string may take its time"


def test_several_short_losses_add_up() -> None:
    """Each of them is less than the limit."""
    span = Span(start_ms=0, end_ms=30_000)
    speech = (Span(0, 3_000), *(Span(start, start + 2_500) for start in (6_000, 12_000, 18_000)))
    chunk = AudioChunk(programme(1), span, speech, np.zeros(480_000, np.float32))
    assert chunk.quality_flags(spoken("good evening to you all", 3_000)) == (QualityFlag.SPEECH_PASSED_OVER,)


def test_words_without_speech_may_be_replaced_by_none() -> None:
    assert decoded_without_words_in_halves("thank you for watching", 0, 0.9) == ("", ())


def test_speech_far_from_any_word_is_flagged() -> None:
    engine = Scripted({})
    span = Span(start_ms=0, end_ms=20_000)
    chunk = AudioChunk(ProgrammeDecoding(preparation(), "en"), span, (span,), np.zeros(320_000, np.float32))
    early = tuple(RecognisedWord(w.text, w.start_ms // 4, w.end_ms // 4, 0.9, w.timing) for w in spoken(TEXT, 20_000))
    assert chunk.quality_flags(early) == (QualityFlag.SPEECH_PASSED_OVER,)
    assert chunk.quality_flags(spoken(TEXT, 20_000)) == ()
    assert engine.calls == []


def programme(n_chunks: int, requested: str | None = None) -> ProgrammeDecoding:
    decoding = ProgrammeDecoding(preparation(), requested)
    decoding.chunks = tuple(Span(start_ms=n * 30_000, end_ms=n * 30_000 + 25_000) for n in range(n_chunks))
    return decoding


@given(st.integers(1, 3000))
def test_language_chunks_are_spread_over_the_whole_programme(n_chunks: int) -> None:
    chunks = programme(n_chunks).language_chunks
    assert len(set(chunks)) == len(chunks) == min(n_chunks, max(3, min(12, n_chunks // 6)))
    assert list(chunks) == sorted(chunks, key=lambda chunk: chunk.start_ms)
    third_ms = n_chunks * 30_000 / 3
    if n_chunks >= 9:
        assert {int(chunk.start_ms // third_ms) for chunk in chunks} == {0, 1, 2}


def test_an_opening_in_another_language_does_not_decide() -> None:
    decoding = programme(60)
    decoding.choose_language(
        [
            {"de": 0.95, "en": 0.05} if chunk.start_ms < 300_000 else {"en": 0.9, "cy": 0.1}
            for chunk in decoding.language_chunks
        ]
    )
    assert max(decoding.language_prior, key=decoding.language_prior.__getitem__) == "en"


@pytest.mark.parametrize("n", [0, 1])
def test_a_programme_of_one_chunk_or_none(n: int) -> None:
    assert len(programme(n).language_chunks) == n
