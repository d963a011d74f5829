"""What makes a little speech go further: other voices and paces by warping features, and hidden parts.

Everything works on log-mel features, so that training reads no audio, and is a pure function of a generator that is
made from the utterance's place in the order: nothing to save, nothing to replay, and the same in however many
processes a batch is trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

    from training.data.order import Position


@dataclass(frozen=True)
class SpecAugment:
    """After D. Park et al., "SpecAugment", Interspeech 2019, without time warping.

    Time masks are a share of an utterance's own length, so that short utterances keep their words
    (Park et al. 2020, "adaptive masking").
    """

    n_mel_masks: int = 2
    mel_share: float = 0.17
    """Widest mel mask, as a share of all mels."""
    time_masks_per_s: float = 0.2
    time_mask_s: float = 0.24
    """Longest time mask."""
    frame_rate_hz: float = 50.0

    def __call__(
        self, features: torch.Tensor, n_frames: Sequence[int], rngs: Sequence[np.random.Generator]
    ) -> torch.Tensor:
        """Masks in place the padded batch `(batch, n_frames, n_mels)`, whose rows have `n_frames` each.

        A mask takes the row's mean, which after per-feature normalisation is zero.
        """
        n_mels = features.shape[2]
        for row, n, rng in zip(features, n_frames, rngs, strict=True):
            fill = row[:n].mean()
            for _ in range(self.n_mel_masks):
                start, width = _span(rng, n_mels, int(self.mel_share * n_mels))
                row[:n, start : start + width] = fill
            for _ in range(1 + int(n / self.frame_rate_hz * self.time_masks_per_s)):
                start, width = _span(rng, n, min(int(self.time_mask_s * self.frame_rate_hz), n // 4))
                row[start : start + width] = fill
        return features


@dataclass(frozen=True)
class VoiceWarp:
    """Stretches an utterance in time and along the mels: another pace, another vocal tract.

    After N. Jaitly and G. Hinton, "Vocal Tract Length Perturbation improves speech recognition" (2013), and T. Ko et
    al., "Audio augmentation for speech recognition", Interspeech 2015, both on features instead of audio.
    """

    most: float = 0.10
    """Factors lie within this share of 1 either way."""

    def factors(self, rng: np.random.Generator) -> tuple[float, float]:
        """How much longer the utterance becomes, and how far its mels are drawn apart."""
        longer, wider = rng.uniform(1 - self.most, 1 + self.most, 2)
        return float(longer), float(wider)

    def __call__(self, features: np.ndarray, longer: float, wider: float) -> np.ndarray:
        """Warp `(n_frames, n_mels)` to `(n_frames * longer, n_mels)`, by linear interpolation."""
        n_frames, n_mels = features.shape
        times = np.linspace(0, n_frames - 1, max(2, round(n_frames * longer)), dtype=np.float32)
        mels = np.minimum(np.arange(n_mels, dtype=np.float32) / np.float32(wider), n_mels - 1)
        return _interpolated(_interpolated(features.astype(np.float32), times).T, mels).T


def _interpolated(rows: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Rows between the rows of `(n, m)`, at fractional `places`."""
    lower = np.minimum(places.astype(np.int64), len(rows) - 2)
    share = (places - lower)[:, None]
    return rows[lower] * (1 - share) + rows[lower + 1] * share


def augmentation_rng(seed: int, position: Position, place: int) -> np.random.Generator:
    """The same numbers for the same place in the same batch, whenever it is made."""
    return np.random.default_rng([seed, position.epoch, position.batch, place])


def _span(rng: np.random.Generator, length: int, widest: int) -> tuple[int, int]:
    width = int(rng.integers(0, widest + 1))
    return int(rng.integers(0, length - width + 1)), width
