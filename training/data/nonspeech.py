"""Random sounds without speech: a model trained on speech alone hallucinates words in everything else."""

from __future__ import annotations

import numpy as np

from tasks.audio import SAMPLE_RATE_HZ


def random_nonspeech(n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Make coloured noise, steady or in bursts, possibly with hum or chords: `(n_samples,)` float32."""
    sound = _noise(n_samples, rng)
    if rng.random() < 0.5:
        sound = sound * _bursts(n_samples, rng)
    if rng.random() < 0.5:
        sound = sound * 10 ** rng.uniform(-2, 0) + _tones(n_samples, rng)
    level = 10 ** (rng.uniform(-70, -15) / 20)
    return np.clip(sound * level / max(float(np.sqrt(np.mean(np.square(sound)))), 1e-9), -1, 1).astype(np.float32)


def _noise(n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Noise whose power falls with frequency by a random exponent, from white to brown."""
    spectrum = np.fft.rfft(rng.normal(size=n_samples))
    return np.fft.irfft(spectrum * np.maximum(np.arange(len(spectrum)), 1.0) ** -rng.uniform(0, 1), n_samples)


def _bursts(n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Envelope of sudden onsets that decay, regular or not, over a quiet floor."""
    time_s = np.arange(n_samples) / SAMPLE_RATE_HZ
    period_s, decay = rng.uniform(0.15, 1.5), rng.uniform(4, 40)
    onsets = np.arange(0, n_samples / SAMPLE_RATE_HZ, period_s)
    onsets = onsets + rng.uniform(0, 0.5) * period_s * rng.random(len(onsets))
    since = time_s - onsets[np.maximum(np.searchsorted(onsets, time_s, side="right") - 1, 0)]
    return np.where(since >= 0, np.exp(-decay * np.maximum(since, 0)), 0) + 10 ** rng.uniform(-4, -1)


def _tones(n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Chords that change now and then; the lowest notes resemble mains hum."""
    sound = np.zeros(n_samples)
    n_chords = int(rng.integers(1, 6))
    for part in np.array_split(np.arange(n_samples), n_chords):
        time_s = (part - part[0]) / SAMPLE_RATE_HZ if len(part) else np.zeros(0)
        fade = np.exp(-rng.uniform(0, 3) * time_s)
        for hz in rng.uniform(45, 900) * np.array([1, 1.26, 1.5, 2])[: rng.integers(1, 5)]:
            for overtone in range(1, int(rng.integers(2, 6))):
                sound[part] += fade * np.sin(2 * np.pi * hz * overtone * time_s) / overtone
    return sound / max(float(np.abs(sound).max()), 1e-9)
