"""Sounds without speech, `(n_samples,)` float32 at 16 kHz: recorded noises, and what can be computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.support.human_speech.programmes import NO_SPEECH, Composition, Programme, Recording, file_name, load
from local.demo.synthesis import augmentation
from tasks.audio import SAMPLE_RATE_HZ

SECONDS = 45.0
NOISE_RMS = 0.05  # -26 dBFS


def programmes_without_speech(
    speech: Path, recordings: Sequence[Recording], is_chosen: Callable[[str], bool]
) -> Iterator[Programme]:
    """Programmes in which nobody speaks, if chosen: every word in their transcripts is invented."""
    if not is_chosen(NO_SPEECH):
        return
    rng = np.random.default_rng(7)
    sounds = {
        "silence": np.zeros(round(SECONDS * SAMPLE_RATE_HZ), np.float32),
        "hiss": at_rms(augmentation.noise(rng, SECONDS, slope=0), 0.001),  # -60 dBFS: an open line
        "rumble": at_rms(augmentation.noise(rng, SECONDS, slope=2), NOISE_RMS),
        "music": at_rms(augmentation.music(rng, SECONDS), 0.1),
        "quiet-music": at_rms(augmentation.music(rng, SECONDS), 0.005),
        "tone": tone(1000.0, SECONDS),
        "hum": at_rms(sum((tone(50.0 * k, SECONDS) / k for k in range(1, 6)), np.float32(0)), 0.02),
        "applause": applause(rng, SECONDS),
        **{Path(r.path).stem: repeated(sound, SECONDS) for r, sound in noises(speech, recordings)},
    }
    for name, samples in sounds.items():
        yield Programme(file_name(NO_SPEECH, name), NO_SPEECH, Composition(np.asarray(samples, np.float32)))


def noises(speech: Path, recordings: Sequence[Recording]) -> Iterator[tuple[Recording, np.ndarray]]:
    """The recorded noises of the folder `noise`, without room responses."""
    for recording in recordings:
        if recording.folder == "noise" and "rir" not in recording.path:
            yield recording, load(speech, recording).samples


def repeated(sound: np.ndarray, seconds: float) -> np.ndarray:
    return np.resize(sound, round(seconds * SAMPLE_RATE_HZ))


def tone(frequency_hz: float, seconds: float) -> np.ndarray:
    time_s = np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    return (0.1 * np.sin(2 * np.pi * frequency_hz * time_s)).astype(np.float32)


def applause(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Claps of many hands: short bursts of noise at random times, 300 a second."""
    n_samples = round(seconds * SAMPLE_RATE_HZ)
    claps = np.zeros(n_samples, np.float32)
    np.add.at(claps, rng.integers(0, n_samples, round(300 * seconds)), rng.standard_normal(round(300 * seconds)))
    n_clap = SAMPLE_RATE_HZ // 100
    clap = rng.standard_normal(n_clap) * np.exp(-np.arange(n_clap) / (n_clap / 5))
    return at_rms(np.convolve(claps, clap, mode="same"), NOISE_RMS)


def at_rms(sound: np.ndarray, level: float) -> np.ndarray:
    return np.asarray(sound * (level / rms(sound)), np.float32)


def rms(sound: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(sound, dtype=np.float64)))) + 1e-9


def mixed(voice: np.ndarray, background: np.ndarray, snr_db: float) -> np.ndarray:
    """Speech over a background that is repeated or cut to its length, at a signal-to-noise ratio; peak at most 0.9."""
    bed = np.resize(background, len(voice))
    together = voice + at_rms(bed, rms(voice[np.abs(voice) > 1e-4]) * 10 ** (-snr_db / 20))
    return np.asarray(together / max(1.0, np.abs(together).max() / 0.9), np.float32)
