"""Synthetic speech, music and tone for tests of track selection."""

from __future__ import annotations

from functools import cache

import numpy as np

from tests.tasks.media.making import RATE_HZ

LINES = {
    "en": "Good evening. Here is the news of the day. The council voted against the bridge, because it would have "
    "cost more than the harbour earns in ten years. The fishermen are divided about it.",
    "de": "Guten Abend. Der Rat der Stadt hat gegen die Brücke gestimmt, weil sie mehr kosten würde, als der Hafen in "
    "zehn Jahren einnimmt. Die Fischer sind darüber geteilter Meinung.",
}


@cache
def speech(language: str = "en", duration_s: float = 8.0) -> np.ndarray:
    """`(n_samples,)` float32: a newsreader with a little room noise."""
    import soxr

    from local.demo.synthesis.espeak import ESPEAK_RATE_HZ, Voice, speak

    accent = {"en": "en-us", "de": "de"}[language]
    said = soxr.resample(speak(LINES[language], Voice(accent, "Michael", 45)), ESPEAK_RATE_HZ, RATE_HZ)
    n_samples = round(duration_s * RATE_HZ)
    said = np.resize(0.1 / np.sqrt(np.mean(said**2)) * said, n_samples)
    return (said + np.random.default_rng(1).standard_normal(n_samples) * 3e-4).astype(np.float32)


def silence(duration_s: float = 8.0) -> np.ndarray:
    return np.zeros(round(duration_s * RATE_HZ), np.float32)


def tone(duration_s: float = 8.0, frequency_hz: float = 1000.0, level: float = 0.12) -> np.ndarray:
    """Line-up tone."""
    time_s = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    return (level * np.sin(2 * np.pi * frequency_hz * time_s)).astype(np.float32)


def music(duration_s: float = 8.0, seed: int = 0) -> np.ndarray:
    """Chords of decaying partials, two a second."""
    random = np.random.default_rng(seed)
    time_s = np.arange(RATE_HZ // 2) / RATE_HZ
    chords = []
    for _ in range(round(2 * duration_s)):
        roots = 110 * 2 ** (random.integers(0, 24, 3) / 12)
        chords.append(sum(np.sin(2 * np.pi * root * n * time_s) / n for root in roots for n in (1, 2, 3)))
    played = np.concatenate(chords) * np.tile(np.exp(-3 * time_s), len(chords))
    return (0.1 * played / np.sqrt(np.mean(played**2))).astype(np.float32)
