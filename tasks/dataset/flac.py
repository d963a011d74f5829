"""Utterances as FLAC: 16 kHz, mono, 16 bit."""

from __future__ import annotations

import hashlib
import io

import numpy as np
import soundfile

from tasks.audio import SAMPLE_RATE_HZ

FULL_SCALE = 1 << 15


def to_pcm(samples: np.ndarray) -> np.ndarray:
    """Float samples in -1..1 as 16-bit ones, `(n_samples,)`. What was 16-bit before comes back unchanged."""
    return np.clip(np.rint(samples * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype("<i2")


def digest(pcm: np.ndarray) -> str:
    """sha256 of the samples as little-endian bytes: equal for equal audio, whatever file it came in."""
    return hashlib.sha256(pcm.tobytes()).hexdigest()


def encode(pcm: np.ndarray) -> bytes:
    """FLAC bytes of 16-bit samples."""
    file = io.BytesIO()
    soundfile.write(file, pcm, SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def decode(data: bytes) -> np.ndarray:
    """The 16-bit samples of `encode`, `(n_samples,)`."""
    samples, _ = soundfile.read(io.BytesIO(data), dtype="int16")
    return samples


def to_float(pcm: np.ndarray) -> np.ndarray:
    """16-bit samples as float32 in -1..1."""
    return pcm.astype(np.float32) / FULL_SCALE
