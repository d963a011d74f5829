"""Another pace, and noise behind the speech: what needs audio, and features made anew."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tasks.dataset import flac
from tasks.features.config import FeaturesConfig
from training.data.nonspeech import random_nonspeech
from training.data.shards import Utterance

MOST_SPEED = 0.10  # T. Ko et al., "Audio augmentation for speech recognition", Interspeech 2015
SNR_DB = (5.0, 30.0)


class SoundAugment:
    """Plays an utterance faster or slower (its pitch goes along), and lays noise behind it."""

    def __init__(self, config: FeaturesConfig, speed_share: float, noise_share: float) -> None:
        """The shares of the utterances to which each is done."""
        from tasks.features.logmel import LogMel

        self._rate_hz, self._logmel = config.sample_rate_hz, LogMel(config)
        self._speed_share, self._noise_share = speed_share, noise_share

    def __call__(self, utterance: Utterance, rng: np.random.Generator) -> Utterance:
        """An utterance without audio comes back as it is."""
        faster = float(rng.uniform(1 - MOST_SPEED, 1 + MOST_SPEED)) if rng.random() < self._speed_share else 1.0
        snr_db = float(rng.uniform(*SNR_DB)) if rng.random() < self._noise_share else None
        if not utterance.audio or (faster == 1.0 and snr_db is None):
            return utterance
        samples = flac.to_float(flac.decode(utterance.audio))
        if faster != 1.0:
            samples = played(samples, faster, self._rate_hz)
        if snr_db is not None:
            samples = with_noise(samples, random_nonspeech(len(samples), rng), snr_db)
        features = self._logmel([samples])[0].numpy()
        return replace(utterance, features=features, duration_s=len(samples) / self._rate_hz)


def played(samples: np.ndarray, faster: float, rate_hz: int) -> np.ndarray:
    """`(n_samples,)` played `faster` times as fast: `(n_samples / faster,)`."""
    import soxr

    return np.asarray(soxr.resample(samples, rate_hz * faster, rate_hz), np.float32)


def with_noise(samples: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """`noise` behind `samples`, both `(n_samples,)`, so that the whole utterance's power stands `snr_db` above it."""
    power, noise_power = np.mean(np.square(samples)), max(float(np.mean(np.square(noise))), 1e-12)
    gain = np.sqrt(power / noise_power / 10 ** (snr_db / 10))
    return np.clip(samples + gain * noise, -1, 1).astype(np.float32)
