"""Augmentation of log-mel features: warping in time and frequency, and SpecAugment masks.

It needs no audio, and is a pure function of a generator seeded by the utterance's position in the order: there is no
state to save or replay, and the result does not depend on the number of processes.
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
    """Maximum width of a mel mask, as a share of all mels."""
    time_masks_per_s: float = 0.2
    time_mask_s: float = 0.24
    """Maximum length of a time mask."""
    frame_rate_hz: float = 50.0

    def __call__(
        self, features: torch.Tensor, n_frames: Sequence[int], rngs: Sequence[np.random.Generator]
    ) -> torch.Tensor:
        """Mask, in place, the padded batch `(batch, n_frames, n_mels)`, whose rows have `n_frames` each.

        Masked values become the row's mean, which is zero after per-feature normalisation.
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
    """Stretches an utterance in time and along the mels, for another pace and vocal tract length.

    After N. Jaitly and G. Hinton, "Vocal Tract Length Perturbation improves speech recognition" (2013), and T. Ko et
    al., "Audio augmentation for speech recognition", Interspeech 2015, both on features instead of audio.
    """

    max_change: float = 0.10
    """Factors are drawn from 1 - `max_change` to 1 + `max_change`."""

    def factors(self, rng: np.random.Generator) -> tuple[float, float]:
        """Draw the stretch factors in time and along the mels."""
        longer, wider = rng.uniform(1 - self.max_change, 1 + self.max_change, 2)
        return float(longer), float(wider)

    def __call__(self, features: np.ndarray, longer: float, wider: float) -> np.ndarray:
        """Warp `(n_frames, n_mels)` to `(n_frames * longer, n_mels)`, by linear interpolation."""
        n_frames, n_mels = features.shape
        times = np.linspace(0, n_frames - 1, max(2, round(n_frames * longer)), dtype=np.float32)
        mels = np.minimum(np.arange(n_mels, dtype=np.float32) / np.float32(wider), n_mels - 1)
        stretched = _interpolate_rows(features.astype(np.float32), times)  # (n_frames * longer, n_mels)
        return _interpolate_rows(stretched.T, mels).T


def _interpolate_rows(rows: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Interpolate linearly between the rows of `(n, m)` at fractional `positions`: `(n_positions, m)`."""
    lower = np.minimum(positions.astype(np.int64), len(rows) - 2)
    share = (positions - lower)[:, None]
    return rows[lower] * (1 - share) + rows[lower + 1] * share


def augmentation_rng(seed: int, position: Position, slot: int) -> np.random.Generator:
    """Return a generator determined by batch position and the utterance's slot in it, whenever the batch is made."""
    return np.random.default_rng([seed, position.epoch, position.batch, slot])


def _span(rng: np.random.Generator, length: int, max_width: int) -> tuple[int, int]:
    """Draw start and width of a mask."""
    width = int(rng.integers(0, max_width + 1))
    return int(rng.integers(0, length - width + 1)), width
