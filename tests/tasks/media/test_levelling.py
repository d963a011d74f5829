from __future__ import annotations

import numpy as np
import pytest

from tasks.audio import SAMPLES_PER_MS
from tasks.media.levelling import EVEN_DB, MAX_GAIN_DB, TARGET_DB, level_speech
from tasks.media.loudness import decibel
from tasks.transcripts.spans import Span

LOUD_MS, GAP_MS, QUIET_MS = 3_000, 600, 2_500


def syllables(duration_ms: int, level_db: float) -> np.ndarray:
    """Noise that swells and falls four times a second, as speech does, `(n_samples,)`."""
    n_samples = duration_ms * SAMPLES_PER_MS
    swell = 0.05 + np.abs(np.sin(2 * np.pi * np.arange(n_samples) / (500 * SAMPLES_PER_MS)))
    noise = np.random.default_rng(1).standard_normal(n_samples) * swell
    return (noise / np.sqrt(np.mean(noise**2)) * 10 ** (level_db / 20)).astype(np.float32)


def chunk(quiet_db: float, floor_db: float = -90.0) -> tuple[np.ndarray, list[Span]]:
    """Loud, a pause, quiet; and the two spans of speech, 200 ms apart."""
    gap = np.zeros(GAP_MS * SAMPLES_PER_MS, np.float32)
    samples = np.concatenate([syllables(LOUD_MS, -20.0), gap, syllables(QUIET_MS, quiet_db), gap])
    samples += np.random.default_rng(2).standard_normal(len(samples)).astype(np.float32) * 10 ** (floor_db / 20)
    quiet_ms = LOUD_MS + GAP_MS
    return samples, [Span(0, LOUD_MS + 200), Span(quiet_ms - 200, quiet_ms + QUIET_MS + 200)]


def level_db(samples: np.ndarray, start_ms: int, end_ms: int) -> float:
    part = samples[start_ms * SAMPLES_PER_MS : end_ms * SAMPLES_PER_MS].astype(float)
    return decibel(float(np.mean(part**2)))


@pytest.mark.parametrize("quiet_db", [-35.0, -40.0, -45.0])
@pytest.mark.parametrize("is_quiet_first", [False, True])
def test_quiet_speech_is_raised_to_a_few_decibel_below_the_loud(quiet_db: float, is_quiet_first: bool) -> None:
    samples, speech = chunk(quiet_db)
    start_ms = LOUD_MS + GAP_MS
    if is_quiet_first:
        length_ms = len(samples) // SAMPLES_PER_MS
        samples = samples[::-1].copy()
        speech = [Span(length_ms - span.end_ms, length_ms - span.start_ms) for span in reversed(speech)]
        start_ms = GAP_MS
    levelled = level_speech(samples, speech)
    assert levelled.dtype == np.float32
    assert level_db(levelled, start_ms, start_ms + QUIET_MS) == pytest.approx(-20.0 - TARGET_DB, abs=2.0)
    loud_ms = (start_ms + QUIET_MS + GAP_MS) if is_quiet_first else 0
    assert level_db(levelled, loud_ms, loud_ms + LOUD_MS) == pytest.approx(-20.0, abs=0.3)


def test_an_even_chunk_is_returned_as_it_is() -> None:
    samples, speech = chunk(quiet_db=-20.0 - EVEN_DB + 2.0)
    assert level_speech(samples, speech) is samples


def test_what_is_no_speech_is_not_raised() -> None:
    samples, speech = chunk(quiet_db=-45.0)
    unheard = level_speech(samples, speech[:1])
    start_ms = LOUD_MS + GAP_MS
    assert np.array_equal(unheard[start_ms * SAMPLES_PER_MS :], samples[start_ms * SAMPLES_PER_MS :])
    levelled = level_speech(samples, speech)
    last_ms = LOUD_MS + 2 * GAP_MS + QUIET_MS
    assert level_db(levelled, last_ms - 300, last_ms) == pytest.approx(level_db(samples, last_ms - 300, last_ms))


def test_the_gain_is_limited() -> None:
    samples, speech = chunk(quiet_db=-85.0, floor_db=-110.0)
    start_ms, end_ms = LOUD_MS + GAP_MS, LOUD_MS + GAP_MS + QUIET_MS
    raised_db = level_db(level_speech(samples, speech), start_ms, end_ms) - level_db(samples, start_ms, end_ms)
    assert raised_db == pytest.approx(MAX_GAIN_DB, abs=0.1)


def test_a_click_is_not_what_the_rest_is_compared_with() -> None:
    samples, speech = chunk(quiet_db=-20.0)
    samples *= 0.1
    samples[1000:1200] = 0.9
    assert level_speech(samples, speech) is samples


@pytest.mark.parametrize("n_samples", [0, 1, 799, 800, 801])
def test_chunks_of_a_few_samples(n_samples: int) -> None:
    samples = np.ones(n_samples, np.float32)
    assert level_speech(samples, [Span(0, 1000)]) is samples
    assert level_speech(samples, []) is samples
