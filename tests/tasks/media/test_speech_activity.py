from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.media.decoding.reader import load_audio
from tasks.media.speech_activity import (
    WINDOW_MS,
    Segmenter,
    SpeechActivity,
    SpeechActivityOptions,
    SpeechNetwork,
    SpeechSegment,
    speech_segments,
)

RATE_HZ = 16_000
SPEECH_RMS = 0.05


def level(samples: np.ndarray, rms: float = SPEECH_RMS) -> np.ndarray:
    return (samples / np.sqrt(np.mean(samples.astype(np.float64) ** 2)) * rms).astype(np.float32)


@pytest.fixture(scope="module")
def sentences(speech: Path) -> tuple[np.ndarray, np.ndarray]:
    """Sentences of many speakers with two seconds between them, and a mask of where speech is loud enough to count.

    Both `(n_samples,)`. Speech is what is less than 25 dB below the loudest fifth of its sentence.
    """
    paths = [
        path
        for folder in ("audiobook", "second_language", "an4")
        for path in sorted((speech / "sentences" / folder).glob("*.flac"))[::13]
    ]
    samples, spoken = [], []
    for path in paths:
        sentence = level(load_audio(path))
        powers = (sentence[: len(sentence) // 160 * 160].reshape(-1, 160) ** 2).mean(axis=1)
        loud = powers > 10**-2.5 * np.sort(powers)[-len(powers) // 5 :].mean()
        silence = np.zeros(2 * RATE_HZ, np.float32)
        samples += [sentence, silence]
        spoken += [np.pad(np.repeat(loud, 160), (0, len(sentence) - 160 * len(loud))), silence.astype(bool)]
    return np.concatenate(samples), np.concatenate(spoken)


def music(n_samples: int, seed: int = 0) -> np.ndarray:
    """Chords, bass and drums, at RMS 1."""
    random = np.random.default_rng(seed)
    out = np.zeros(n_samples)
    beat = RATE_HZ // 2
    for at in range(0, n_samples, beat):
        time_s = np.arange(min(2 * beat, n_samples - at)) / RATE_HZ
        for note in random.choice([0, 3, 5, 7, 10, 12], 3, replace=False):
            for harmonic in range(1, 6):
                hz = 146.8 * 2 ** (note / 12) * harmonic
                out[at : at + len(time_s)] += np.exp(-2 * time_s) * np.sin(2 * np.pi * hz * time_s) / harmonic
        drum = random.standard_normal(min(800, n_samples - at)) * np.exp(-np.arange(min(800, n_samples - at)) / 200)
        out[at : at + len(drum)] += drum
    return out / np.sqrt(np.mean(out**2))


def recall(samples: np.ndarray, spoken: np.ndarray) -> float:
    covered = np.zeros(len(samples), bool)
    for segment in speech_segments(np.array_split(samples, 20)):
        covered[segment.start_ms * 16 : segment.end_ms * 16] = True
    return float((covered & spoken).sum() / spoken.sum())


@pytest.mark.parametrize(
    ("below_db", "least"),
    [(None, 0.99), (10, 0.985), (5, 0.985)],
    ids=["alone", "music 10 dB below", "music 5 dB below"],
)
def test_recall_of_speech_over_music(below_db: float | None, least: float, sentences):
    samples, spoken = sentences
    bed = music(len(samples)) * SPEECH_RMS * 10 ** (-below_db / 20) if below_db is not None else 0.0
    assert recall((samples + bed).astype(np.float32), spoken) >= least


def test_recall_of_quiet_speech(sentences):
    samples, spoken = sentences
    assert recall(samples * np.float32(10 ** (-25 / 20)), spoken) >= 0.98


def test_music_and_noise_alone_are_not_all_speech():
    bed = (music(60 * RATE_HZ) * SPEECH_RMS).astype(np.float32)
    noise = np.random.default_rng(0).standard_normal(60 * RATE_HZ).astype(np.float32) * SPEECH_RMS
    for samples in (bed, noise):
        found_ms = sum(segment.duration_ms for segment in speech_segments([samples]))
        assert found_ms < 6_000


def test_pauses_between_sentences_are_left_out(sentences):
    samples, _ = sentences
    activity = SpeechActivity()
    segments = activity.push(samples) + activity.finish()
    assert activity.speech_ms == sum(segment.duration_ms for segment in segments)
    assert activity.speech_ms < 0.85 * len(samples) / 16


def test_silence_has_no_speech_and_costs_nothing(monkeypatch: pytest.MonkeyPatch):
    network = SpeechNetwork()
    monkeypatch.setattr(network, "_session", None)
    assert not network(np.zeros((3600 * 31, 512), np.float32)).any()
    assert list(speech_segments([np.zeros(RATE_HZ, np.float32)] * 10)) == []
    assert list(speech_segments([])) == []
    assert list(speech_segments([np.zeros(1, np.float32)])) == []


@given(cuts=st.lists(st.integers(0, 3 * RATE_HZ), max_size=5))
def test_the_result_does_not_depend_on_block_sizes(cuts: list[int]):
    """Noise with the envelope of syllables, in place of a voice."""
    random = np.random.default_rng(5)
    time_s = np.arange(3 * RATE_HZ) / RATE_HZ
    buzz = sum(np.sin(2 * np.pi * 120 * k * time_s) / k for k in range(1, 9))
    voiced = buzz * np.clip(np.sin(2 * np.pi * 4 * time_s), 0, 1) * (time_s % 1.5 < 1) * 0.1
    samples = (voiced + random.standard_normal(len(voiced)) * 0.01).astype(np.float32)
    network = SpeechNetwork()
    windows = samples[: len(samples) // 512 * 512].reshape(-1, 512)
    expected = network(windows)
    network.reset()
    rows = sorted({min(cut // 512, len(windows)) for cut in cuts})
    parts = [network(part) for part in np.split(windows, rows) if len(part)]
    np.testing.assert_allclose(np.concatenate(parts), expected, atol=1e-4)


def test_the_network_agrees_with_faster_whispers_own(sentences):
    """Except for the last window, whose end faster-whisper overwrites."""
    from faster_whisper.vad import get_vad_model

    samples = sentences[0][: 20 * RATE_HZ // 512 * 512]
    ours = SpeechNetwork()(samples.reshape(-1, 512))
    theirs = get_vad_model()(samples.copy())
    np.testing.assert_allclose(ours[:-1], np.asarray(theirs).reshape(-1)[:-1], atol=1e-4)


OPTIONS = SpeechActivityOptions(threshold=0.5, release=0.3, min_speech_ms=64, min_silence_ms=320, padding_ms=96)


def segmented(probabilities: list[float], powers: list[float] | None = None, pieces: int = 1) -> list[SpeechSegment]:
    segmenter = Segmenter(OPTIONS)
    powers = powers or [1e-3] * len(probabilities)
    found: list[SpeechSegment] = []
    for part in np.array_split(np.arange(len(probabilities)), pieces):
        found += segmenter.push([probabilities[i] for i in part], [powers[i] for i in part])
    return found + segmenter.finish(len(probabilities) * WINDOW_MS)


@given(st.lists(st.sampled_from([0.0, 0.2, 0.4, 0.6, 1.0]), max_size=300), st.integers(1, 9))
def test_segments_are_ordered_apart_inside_and_complete(probabilities: list[float], pieces: int):
    segments = segmented(probabilities)
    assert segmented(probabilities, pieces=pieces) == segments
    end_ms = len(probabilities) * WINDOW_MS
    for segment in segments:
        assert 0 <= segment.start_ms < segment.end_ms <= end_ms
        assert all(segment.start_ms < pause.at_ms < segment.end_ms for pause in segment.pauses)
        assert all(a.at_ms < b.at_ms for a, b in pairwise(segment.pauses))
    for before, after in pairwise(segments):
        assert before.end_ms < after.start_ms
    # Two windows with certain speech in a row are always inside a segment.
    for window, (a, b) in enumerate(pairwise(probabilities)):
        if a >= OPTIONS.threshold and b >= OPTIONS.threshold:
            assert any(s.start_ms <= window * WINDOW_MS and (window + 2) * WINDOW_MS <= s.end_ms for s in segments)


def test_padding_and_hangover():
    # 10 windows of silence, 5 of speech, 20 of silence.
    (segment,) = segmented([0.0] * 10 + [1.0] * 5 + [0.0] * 20)
    assert (segment.start_ms, segment.end_ms) == (10 * 32 - 96, 15 * 32 + 96)
    # 9 windows of silence are too short to end it; 11, with padding of 3 on either side, are not.
    assert len(segmented([1.0] * 5 + [0.0] * 9 + [1.0] * 5)) == 1
    assert len(segmented([1.0] * 5 + [0.0] * 11 + [1.0] * 5)) == 2
    # A single window is a click.
    assert segmented([0.0] * 10 + [1.0] + [0.0] * 20) == []


def test_the_quietest_place_of_each_second_is_kept():
    powers = [1e-2] * 200
    for quiet in (40, 100, 150):
        powers[quiet - 1 : quiet + 2] = [1e-6] * 3
    (segment,) = segmented([1.0] * 200, powers)
    best = sorted(segment.pauses, key=lambda pause: pause.cost)[:3]
    assert sorted(pause.at_ms for pause in best) == [quiet * 32 + 16 for quiet in (40, 100, 150)]
    assert len(segment.pauses) == pytest.approx(200 * 0.032, abs=1)
