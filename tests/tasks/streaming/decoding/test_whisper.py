"""Whisper as it is streamed: tiny.en hears a speech, loops are cut, and a restored session goes on identically."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks import models
from tasks.media.decoding.reader import load_audio
from tasks.recognition.engine import RecognisedWord
from tasks.streaming.components import diarize, features, prepare
from tasks.streaming.components.recognise import RecogniseSession
from tasks.streaming.decoding import whisper
from tasks.streaming.decoding.decoder import Window, WindowDecoder, on_timeline
from tasks.streaming.decoding.load import LoadMeter
from tasks.streaming.decoding.loading import load_decoder
from tasks.streaming.runtime.messages import LiveVoices, LiveWord, LiveWords
from tasks.transcripts.document import WordTiming
from tasks.transcripts.normaliser import normalise
from tests.tasks.streaming.conftest import blocks_of, push_all
from training.scoring.errors import word_errors

JFK = "And so my fellow Americans, ask not what your country can do for you, ask what you can do for your country."

Open = Callable[..., RecogniseSession]


def word(text: str, start_ms: int = 0, end_ms: int = 0) -> RecognisedWord:
    return RecognisedWord(text, start_ms, end_ms, 0.9, WordTiming.ATTENTION)


def window(*committed: LiveWord, start_ms: int = 0, end_ms: int = 10_000) -> Window:
    return Window(np.zeros((0, 80), np.float32), start_ms, end_ms, committed)


def test_committed_words_are_prompt_before_the_window_and_prefix_in_it() -> None:
    words = [
        word("old", 0, 500),
        word("before", 40_000, 40_400),
        word("in", 49_900, 50_300),
        word("it", 50_400, 50_600),
    ]
    known = whisper.known_words(window(*on_timeline(words, 0), start_ms=50_000, end_ms=53_000))
    assert (known.prompt, known.prefix) == (("before",), ("in", "it"))
    assert known.prefix_end_ms == 600


def test_a_loop_is_found_across_passes_and_cut() -> None:
    committed = ["thank", "you"] * 3
    assert not whisper.loops(["thank", "you"], committed)
    assert whisper.loops(["thank", "you"] * 3, committed)
    assert whisper.count_before_loop(["thank", "you"] * 3, committed) == 3
    assert whisper.count_before_loop(["one", "thing", "after", "another"], committed) == 4


def test_speech_after_a_committed_loop_is_trusted() -> None:
    assert not whisper.loops(["and", "so", "on"], ["go"] * 6)


def test_more_words_than_can_be_said_are_doubtful() -> None:
    words = [word(f"word{number}") for number in range(10)]
    assert whisper.is_doubtful(words, 1_000, ())
    assert not whisper.is_doubtful(words, 5_000, ())


@pytest.fixture(scope="module")
def decoder(whisper_tiny_en: Path) -> WindowDecoder:
    return load_decoder(whisper_tiny_en)


@pytest.fixture(scope="module")
def opened(decoder: WindowDecoder, whisper_tiny_en: Path) -> Open:
    """Opens sessions; with a stopped clock their steps do not depend on how busy this machine is."""
    reference = models.resolve(str(whisper_tiny_en))

    def open_session(saved: bytes | None = None, meter: LoadMeter | None = None) -> RecogniseSession:
        return RecogniseSession(decoder, reference, "s", saved, meter or LoadMeter(lambda: 0.0))

    return open_session


@pytest.fixture(scope="module")
def voices(whisper_tiny_en: Path) -> Callable[[np.ndarray], list[LiveVoices]]:
    """Audio at 16 kHz through the components before `recognise`."""
    components = [prepare.component(), features.component(whisper_tiny_en), diarize.component()]

    def make(samples: np.ndarray) -> list[LiveVoices]:
        messages: list[Any] = blocks_of(samples, 16_000)
        for component in components:
            messages = push_all(component, messages)
        return messages

    return make


@pytest.fixture(scope="module")
def jfk(speech: Path) -> np.ndarray:
    """Eleven seconds of an inaugural address, `(n_samples,)` at 16 kHz."""
    return load_audio((speech / "sentences" / "known" / "jfk.flac").read_bytes())


@pytest.fixture(scope="module")
def heard(opened: Open, voices: Callable[[np.ndarray], list[LiveVoices]], jfk: np.ndarray) -> list[LiveWords]:
    session = opened()
    return [output for message in voices(jfk) for output in session.push(message)]


def test_a_known_sentence_comes_out_while_it_is_spoken(heard: list[LiveWords]) -> None:
    words = [word for message in heard for word in message.committed]
    errors = word_errors(normalise(JFK), normalise(" ".join(word.text for word in words)))
    assert errors.substitutions + errors.deletions + errors.insertions <= 2
    assert all(a.start_ms <= a.end_ms <= b.start_ms for a, b in pairwise(words))
    assert all(word.end_ms <= message.end_ms for message in heard for word in message.committed)
    assert {word.timing for word in words} == {WordTiming.ATTENTION}
    assert sum(bool(message.committed) for message in heard) >= 5
    # "ask" comes after a pause of a second, at 7.5 s; "Americans" before it.
    assert next(word for word in words if word.text.lower().startswith("american")).end_ms < 3_500
    assert 7_000 < [word for word in words if word.text.lower().startswith("ask")][-1].start_ms < 8_500


def test_improbable_words_are_trusted_in_a_longer_hypothesis() -> None:
    words = [replace(word(f"word{number}"), confidence=0.1) for number in range(4)]
    assert whisper.is_doubtful(words, 3_000, ())
    assert not whisper.is_doubtful(words, 3_000, (), whisper.LOOPS)


def test_after_a_pause_a_window_has_nothing_that_is_known(heard: list[LiveWords]) -> None:
    """Otherwise Whisper hears the end of the text after it."""
    spoken_until_ms = 0
    for message in heard:
        assert message.start_ms >= spoken_until_ms - 10  # a frame
        if message.spoken:
            spoken_until_ms = message.spoken.end_ms
    assert spoken_until_ms


def test_a_restored_session_goes_on_identically(
    opened: Open, voices: Callable[[np.ndarray], list[LiveVoices]], jfk: np.ndarray, heard: list[LiveWords]
) -> None:
    """It is saved and restored after every message."""
    session, found = opened(), []
    for message in voices(jfk):
        session = opened(session.save())
        found += list(session.push(message))
    assert [message.to_bytes() for message in found] == [message.to_bytes() for message in heard]


def test_a_slow_machine_decodes_less_often_and_loses_nothing(
    opened: Open, voices: Callable[[np.ndarray], list[LiveVoices]], jfk: np.ndarray, heard: list[LiveWords]
) -> None:
    """A session that is restored from the snapshot with the longer step goes on identically."""
    now_s = [0.0]
    meter = LoadMeter(lambda: now_s[0])

    def run(session: RecogniseSession, messages: list[LiveVoices]) -> list[LiveWords]:
        return [output for message in messages for output in session.push(message)]

    messages = voices(jfk)
    session = opened(meter=meter)
    found = run(session, messages[:16])
    with meter.measure():
        now_s[0] = 9.0
    saved = session.save()
    assert session.state.step_ms > whisper.PACE.step_ms
    rest = run(session, messages[16:])
    assert [m.to_bytes() for m in run(opened(saved), messages[16:])] == [m.to_bytes() for m in rest]
    assert len(found + rest) < len(heard)
    text = " ".join(word.text for message in found + rest for word in message.committed)
    errors = word_errors(normalise(JFK), normalise(text))
    assert errors.deletions <= 1
    assert errors.substitutions + errors.insertions <= 3


def test_nothing_is_heard_in_silence_and_noise(opened: Open, voices: Callable[[np.ndarray], list[LiveVoices]]) -> None:
    noise = np.random.default_rng(1).normal(0.0, 0.02, 5 * 16_000).astype(np.float32)
    samples = np.concatenate([np.zeros(3 * 16_000, np.float32), noise])
    session = opened()
    outputs = [output for message in voices(samples) for output in session.push(message)]
    assert outputs[-1].is_last
    assert not [word for message in outputs for word in message.committed]


def test_speech_without_a_pause_keeps_the_state_bounded(
    opened: Open, voices: Callable[[np.ndarray], list[LiveVoices]], jfk: np.ndarray
) -> None:
    session = opened()
    n_words = n_known = 0
    for message in voices(np.concatenate([jfk, jfk[: 5 * 16_000]])):
        always = message.model_copy(update={"speech": (1.0,) * len(message.speech)})
        for output in session.push(always):
            n_words += len(output.committed)
            words = session.state.committed
            n_known = max(n_known, sum(word.start_ms >= output.start_ms for word in words))
        assert len(session.save()) < (whisper.PACE.max_window_ms + 500) / 10 * 80 * 4 * 1.34 + 14_000
    assert 24 <= n_words <= 36  # 22, and about 8
    assert n_known <= 12  # of 30: known words cost as much as new ones
