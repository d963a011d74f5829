"""A quiet sentence beside loud ones, with a trained Whisper."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tasks.audio import SAMPLE_RATE_HZ
from tasks.media.levelling import level_speech
from tasks.media.speech_activity import speech_segments
from tasks.recognition import load_engine
from tasks.recognition.engine import Engine, Hints
from tasks.transcripts.spans import Span

LOUD, QUIET, LAST = (f"sentences/audiobook/367-130732-{number}.flac" for number in ("0001", "0004", "0008"))
QUIET_WORDS = ["a", "book", "could", "be", "written", "about", "this", "restaurant"]


@pytest.fixture(scope="module")
def engine(whisper_base: Path) -> Engine:
    return load_engine(whisper_base, "cpu")


def at_level(path: Path, level_dbfs: float) -> np.ndarray:
    samples, _ = soundfile.read(path, dtype="float32")
    pause = np.zeros(SAMPLE_RATE_HZ * 6 // 10)
    return np.concatenate([samples / np.sqrt(np.mean(samples**2)) * 10 ** (level_dbfs / 20), pause])


def heard_in(engine: Engine, samples: np.ndarray) -> str:
    (recognition,) = engine.recognise([samples], [Hints("en")])
    return recognition.text.lower()


def n_quiet(text: str) -> int:
    """How many words of the quiet sentence are in the text."""
    return sum(word in text for word in QUIET_WORDS)


def test_a_quiet_sentence_between_loud_ones_is_heard(speech: Path, engine: Engine) -> None:
    parts = [at_level(speech / LOUD, -20.0), at_level(speech / QUIET, -45.0), at_level(speech / LAST, -20.0)]
    noise = 10 ** (-75 / 20) * np.random.default_rng(1).standard_normal(sum(map(len, parts)))
    samples = (np.concatenate(parts) + noise).astype(np.float32)
    segments = [Span(segment.start_ms, segment.end_ms) for segment in speech_segments([samples])]
    levelled = level_speech(samples, segments)
    assert n_quiet(heard_in(engine, samples)) < len(QUIET_WORDS) // 2
    text = heard_in(engine, levelled)
    assert n_quiet(text) >= len(QUIET_WORDS) - 1
    assert "lobster" in text
    assert "double boiler" in text
