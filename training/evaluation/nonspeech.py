"""Synthetic sounds without speech, on which a recogniser should return no words."""

from __future__ import annotations

import numpy as np

from tasks.audio import SAMPLE_RATE_HZ
from tasks.recognition import Engine
from training.data.nonspeech import random_nonspeech
from training.evaluation.records import HallucinatedWords

SECONDS = 10.0  # length of each named sound
NOISE_SECONDS, NOISES_PER_LEVEL = 5.0, 4
NOISE_LEVELS_DB = (-50, -40, -30, -20)  # dBFS
SILENCE_DB = -60.0  # dBFS; below it a sound counts as silence


def nonspeech_sounds() -> dict[str, np.ndarray]:
    """Return the test sounds by name, `(n_samples,)` mono at 16 kHz, the same on every call.

    Ten seconds of each familiar kind, then varied noises at several levels: a model that hallucinates does so on some
    sounds only.
    """
    n = int(SECONDS * SAMPLE_RATE_HZ)
    time_s = np.arange(n) / SAMPLE_RATE_HZ
    rng = np.random.default_rng(20260101)
    white = rng.normal(0, 1, n)
    spectrum = np.fft.rfft(rng.normal(0, 1, n))
    pink = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(len(spectrum)), 1)), n)
    return {
        "digital silence": np.zeros(n),
        "faint noise": _at_db(white, -70),
        "white noise": _at_db(white, -35),
        "pink noise": _at_db(pink, -30),
        "mains hum": _at_db(np.sum([np.sin(2 * np.pi * 50 * k * time_s) / k for k in (1, 2, 3, 5)], axis=0), -40),
        "music": _at_db(_music(time_s, rng), -25),
        "rhythm": _at_db(white * np.exp(-((time_s * 2) % 1) * 12), -25),
        **{
            f"noise {number + 1} at {level} dB": _at_db(_varied_noise(level, number), level)
            for level in NOISE_LEVELS_DB
            for number in range(NOISES_PER_LEVEL)
        },
    }


def _varied_noise(level: int, number: int) -> np.ndarray:
    return random_nonspeech(int(NOISE_SECONDS * SAMPLE_RATE_HZ), np.random.default_rng([20260102, -level, number]))


def find_hallucinations(engine: Engine) -> tuple[HallucinatedWords, ...]:
    """Recognise every test sound and return the hallucinated words."""
    sounds = nonspeech_sounds()
    recognitions = engine.recognise([sound.astype(np.float32) for sound in sounds.values()])
    return tuple(
        HallucinatedWords(
            sound=name,
            silent=_is_silent(sound),
            seconds=len(sound) / SAMPLE_RATE_HZ,
            words=len(recognition.words),
            heard=recognition.text,
        )
        for (name, sound), recognition in zip(sounds.items(), recognitions, strict=True)
    )


def _is_silent(sound: np.ndarray) -> bool:
    return float(np.mean(np.square(sound))) < 10 ** (SILENCE_DB / 10)


def _music(time_s: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Three-note chords with overtones, two a second: `(n_samples,)`."""
    music = np.zeros_like(time_s)
    for beat in range(int(2 * SECONDS)):
        since = time_s - beat / 2
        envelope = np.where(since >= 0, np.exp(-3 * np.maximum(since, 0)), 0)
        root_hz = 110 * 2 ** (rng.integers(0, 24) / 12)
        for semitones in (0, 4, 7):
            for overtone in (1, 2, 3, 4):
                hz = root_hz * 2 ** (semitones / 12) * overtone
                music += envelope * np.sin(2 * np.pi * hz * since) / overtone**2
    return music


def _at_db(sound: np.ndarray, level_db: float) -> np.ndarray:
    """Scale `sound` to an RMS level of `level_db` dBFS."""
    return np.clip(sound * 10 ** (level_db / 20) / np.sqrt(np.mean(np.square(sound))), -1, 1)
