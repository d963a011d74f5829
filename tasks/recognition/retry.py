"""Splitting a chunk for another decoding pass, at its quietest point."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tasks.audio import SAMPLE_RATE_HZ
from tasks.recognition.engine import Recognition

FRAME_SAMPLES = SAMPLE_RATE_HZ // 50  # 320 samples in 20 ms


def split_at_quietest(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split `(n_samples,)` in two at the quietest 20 ms of its middle half, at a whole millisecond."""
    frames = samples[: len(samples) // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)
    # (n_frames, FRAME_SAMPLES)
    first, last = len(frames) // 4, 3 * len(frames) // 4
    if last <= first:
        cut = len(samples) // 2
    else:
        energies = np.square(frames[first:last], dtype=np.float64).sum(axis=1)  # (last - first,)
        cut = (first + int(energies.argmin())) * FRAME_SAMPLES + FRAME_SAMPLES // 2
    cut -= cut % (SAMPLE_RATE_HZ // 1000)
    return samples[:cut], samples[cut:]


def join_halves(first: Recognition, second: Recognition, offset_ms: int) -> Recognition:
    """Join the recognitions of two parts; the second begins `offset_ms` after the first."""
    moved = (replace(word, start_ms=word.start_ms + offset_ms, end_ms=word.end_ms + offset_ms) for word in second.words)
    return Recognition((*first.words, *moved), first.language or second.language)
