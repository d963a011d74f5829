"""Audio files for tests."""

from __future__ import annotations

import io

import numpy as np
import soundfile

from tasks.audio import SAMPLE_RATE_HZ


def wav(samples: np.ndarray, container: str = "WAV") -> bytes:
    """`(n_samples,)` at 16 kHz, 16 bit."""
    data = io.BytesIO()
    soundfile.write(data, samples, SAMPLE_RATE_HZ, format=container, subtype="PCM_16")
    return data.getvalue()
