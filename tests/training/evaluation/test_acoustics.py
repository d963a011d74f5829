"""Signal-to-noise ratio, speech boundaries and the errors of word times, estimated from samples."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.recognition import RecognisedWord
from tasks.transcripts.document import WordTiming
from training.evaluation.acoustics import (
    MAX_SNR_DB,
    boundary_errors,
    snr_db,
    speech_boundaries_ms,
    summarise_boundary_errors,
)
from training.evaluation.records import BoundaryErrors

RATE_HZ = 16_000


def bursts(noise_db: float, seed: int = 0) -> np.ndarray:
    """Three seconds: syllables of a fifth of a second with pauses, from 500 ms to 2,400 ms, over white noise."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(3 * RATE_HZ) / RATE_HZ
    is_speech = ((time_s >= 0.5) & (time_s < 2.4) & ((time_s - 0.5) % 0.3 < 0.2)).astype(float)
    speech = 0.3 * np.sin(2 * np.pi * 220 * time_s) * is_speech
    power = np.mean(np.square(speech))
    noise = rng.normal(size=len(time_s)) * np.sqrt(power / 10 ** (noise_db / 10))
    return (speech + noise).astype(np.float32)


@pytest.mark.parametrize("expected_db", [0.0, 10.0, 20.0, 40.0])
def test_the_ratio_is_estimated(expected_db: float) -> None:
    assert snr_db(bursts(expected_db)) == pytest.approx(expected_db, abs=1.5)


def test_silence_short_input_and_digital_pauses_have_a_ratio() -> None:
    assert snr_db(np.zeros(RATE_HZ, np.float32)) <= 0
    assert snr_db(np.zeros(100, np.float32)) == 0
    assert snr_db(bursts(200)) == MAX_SNR_DB


def test_boundaries_are_located_where_they_can_be() -> None:
    edges = speech_boundaries_ms(bursts(40))
    assert edges is not None
    assert edges[0] == pytest.approx(500, abs=20)
    assert edges[1] == pytest.approx(2400, abs=20)
    assert speech_boundaries_ms(bursts(5)) is None, "the noise masks them"
    assert speech_boundaries_ms(bursts(40)[int(0.9 * RATE_HZ) :]) is None, "it begins in the middle"


def word(text: str, start_ms: int, end_ms: int) -> RecognisedWord:
    return RecognisedWord(text, start_ms, end_ms, 1.0, WordTiming.CTC)


def test_only_correct_words_have_a_time_error() -> None:
    samples = bursts(40)
    start_ms, end_ms = speech_boundaries_ms(samples) or (0, 0)
    recognised = (word("Good", start_ms + 60, 900), word("evening", 900, end_ms - 30))
    assert boundary_errors(samples, "good evening.", recognised) == BoundaryErrors(start_ms=60, end_ms=-30)
    assert boundary_errors(samples, "good morning", recognised) == BoundaryErrors(start_ms=60, end_ms=None)
    assert boundary_errors(samples, "a farewell", recognised) is None
    assert boundary_errors(samples, "good evening", ()) is None


def test_boundary_errors_are_summarised() -> None:
    edges = [BoundaryErrors(start_ms=s, end_ms=e) for s, e in ((10, -30), (None, 50), (20, None), (-40, 100))]
    found = summarise_boundary_errors(edges)
    assert found is not None
    assert (found.edges, found.median_ms, found.bias_ms) == (6, 35.0, 15.0)
    assert summarise_boundary_errors([]) is None
