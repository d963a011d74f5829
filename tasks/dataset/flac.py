"""Utterances as FLAC: 16 kHz, mono, 16 bit."""

from __future__ import annotations

import hashlib
import io

import numpy as np
import soundfile

from tasks.audio import SAMPLE_RATE_HZ

FULL_SCALE = 1 << 15


def to_pcm(samples: np.ndarray) -> np.ndarray:
    """Convert float samples in -1..1 to 16 bit, `(n_samples,)`. Lossless for samples that came from 16 bit."""
    return np.clip(np.rint(samples * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype("<i2")


def digest(pcm: np.ndarray) -> str:
    """sha256 of the samples as little-endian bytes: equal for equal audio, whatever the source file."""
    return hashlib.sha256(pcm.tobytes()).hexdigest()


def encode(pcm: np.ndarray) -> bytes:
    """Encode 16-bit samples, `(n_samples,)`, as FLAC."""
    file = io.BytesIO()
    soundfile.write(file, pcm, SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def decode(data: bytes) -> np.ndarray:
    """Decode the output of `encode` to 16-bit samples, `(n_samples,)`."""
    samples, _ = soundfile.read(io.BytesIO(data), dtype="int16")  # (n_samples,)
    return samples


def to_float(pcm: np.ndarray) -> np.ndarray:
    """Convert 16-bit samples to float32 in -1..1, `(n_samples,)`."""
    return pcm.astype(np.float32) / FULL_SCALE
