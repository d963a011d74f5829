"""Augmentation of audio: speed perturbation and additive noise. Features are recomputed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tasks.dataset import flac
from tasks.features.config import FeaturesConfig
from training.data.joining import stretch
from training.data.nonspeech import random_nonspeech
from training.data.shards import TrainingUtterance

MAX_SPEED_CHANGE = 0.10  # T. Ko et al., "Audio augmentation for speech recognition", Interspeech 2015
SNR_DB = (5.0, 30.0)


class AudioAugment:
    """Changes an utterance's speed (and pitch with it), and adds noise."""

    def __init__(self, config: FeaturesConfig, speed_share: float, noise_share: float) -> None:
        """`speed_share` and `noise_share` are the shares of utterances that are changed."""
        from tasks.features.logmel import LogMel

        self._rate_hz, self._logmel = config.sample_rate_hz, LogMel(config)
        self._speed_share, self._noise_share = speed_share, noise_share

    def __call__(self, utterance: TrainingUtterance, rng: np.random.Generator) -> TrainingUtterance:
        """Augment an utterance; without audio it is returned unchanged."""
        faster = (
            float(rng.uniform(1 - MAX_SPEED_CHANGE, 1 + MAX_SPEED_CHANGE)) if rng.random() < self._speed_share else 1.0
        )
        snr_db = float(rng.uniform(*SNR_DB)) if rng.random() < self._noise_share else None
        if not utterance.audio or (faster == 1.0 and snr_db is None):
            return utterance
        samples = np.concatenate([flac.to_float(flac.decode(audio)) for audio in utterance.audio])
        if faster != 1.0:
            samples = change_speed(samples, faster, self._rate_hz)
        if snr_db is not None:
            samples = add_noise(samples, random_nonspeech(len(samples), rng), snr_db)
        features = self._logmel([samples])[0].numpy()
        return replace(
            utterance,
            features=features,
            duration_s=len(samples) / self._rate_hz,
            segments=stretch(utterance.segments, 1 / faster),
        )


def change_speed(samples: np.ndarray, faster: float, rate_hz: int) -> np.ndarray:
    """Resample `(n_samples,)` to play `faster` times as fast: `(n_samples / faster,)`."""
    import soxr

    return np.asarray(soxr.resample(samples, rate_hz * faster, rate_hz), np.float32)


def add_noise(samples: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """Add `noise` to `samples`, both `(n_samples,)`, at `snr_db` below the power of the whole utterance."""
    power, noise_power = np.mean(np.square(samples)), max(float(np.mean(np.square(noise))), 1e-12)
    gain = np.sqrt(power / noise_power / 10 ** (snr_db / 10))
    return np.clip(samples + gain * noise, -1, 1).astype(np.float32)
