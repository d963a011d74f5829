"""The mel filter bank: Slaney's scale and area normalisation, as librosa, Whisper and NeMo use it."""

from __future__ import annotations

import numpy as np

# Slaney, Auditory Toolbox (1998): linear below 1 kHz, 27 logarithmic steps per factor of 6.4 above.
LINEAR_HZ_PER_MEL = 200.0 / 3
BREAK_HZ = 1000.0
BREAK_MEL = BREAK_HZ / LINEAR_HZ_PER_MEL  # 15.0
LOG_STEP = np.log(6.4) / 27.0


def hz_to_mel(hz: np.ndarray) -> np.ndarray:
    above = BREAK_MEL + np.log(np.maximum(hz, BREAK_HZ) / BREAK_HZ) / LOG_STEP
    return np.where(hz < BREAK_HZ, hz / LINEAR_HZ_PER_MEL, above)


def mel_to_hz(mel: np.ndarray) -> np.ndarray:
    above = BREAK_HZ * np.exp(LOG_STEP * (np.maximum(mel, BREAK_MEL) - BREAK_MEL))
    return np.where(mel < BREAK_MEL, mel * LINEAR_HZ_PER_MEL, above)


def mel_filters(n_mels: int, n_fft: int, sample_rate_hz: int) -> np.ndarray:
    """Triangular filters of unit area from 0 Hz to Nyquist, `(n_fft // 2 + 1, n_mels)`, float64."""
    nyquist_hz = sample_rate_hz / 2
    bins_hz = np.linspace(0.0, nyquist_hz, n_fft // 2 + 1)
    top_mel = float(hz_to_mel(np.array(nyquist_hz)))
    edges_hz = mel_to_hz(np.linspace(0.0, top_mel, n_mels + 2))
    lower, centre, upper = edges_hz[:-2], edges_hz[1:-1], edges_hz[2:]
    rising = (bins_hz[:, None] - lower) / (centre - lower)
    falling = (upper - bins_hz[:, None]) / (upper - centre)
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    return np.asarray(triangles * (2.0 / (upper - lower)))
