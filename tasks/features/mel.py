"""Mel filter banks: Slaney's, as used by librosa, Whisper and NeMo, and Kaldi's."""

from __future__ import annotations

import numpy as np

# Slaney, Auditory Toolbox (1998): linear below 1 kHz, 27 logarithmic steps per factor of 6.4 above.
LINEAR_HZ_PER_MEL = 200.0 / 3
BREAK_HZ = 1000.0
BREAK_MEL = BREAK_HZ / LINEAR_HZ_PER_MEL  # 15.0
LOG_STEP = np.log(6.4) / 27.0

KALDI_LOW_HZ = 20.0  # lower edge of the first filter


def hz_to_mel(hz: np.ndarray) -> np.ndarray:
    """Hertz to mel on Slaney's scale."""
    above = BREAK_MEL + np.log(np.maximum(hz, BREAK_HZ) / BREAK_HZ) / LOG_STEP
    return np.where(hz < BREAK_HZ, hz / LINEAR_HZ_PER_MEL, above)


def mel_to_hz(mel: np.ndarray) -> np.ndarray:
    """Mel to hertz on Slaney's scale."""
    above = BREAK_HZ * np.exp(LOG_STEP * (np.maximum(mel, BREAK_MEL) - BREAK_MEL))
    return np.where(mel < BREAK_MEL, mel * LINEAR_HZ_PER_MEL, above)


def slaney_filters(n_mels: int, n_fft: int, sample_rate_hz: int, high_hz: float | None = None) -> np.ndarray:
    """Triangles of unit area in frequency, from 0 to `high_hz` (or Nyquist): `(n_fft // 2 + 1, n_mels)`, float64."""
    top_mel = float(hz_to_mel(np.array(high_hz or sample_rate_hz / 2)))
    edges_hz = mel_to_hz(np.linspace(0.0, top_mel, n_mels + 2))  # (n_mels + 2,)
    triangles = _triangles(np.arange(n_fft // 2 + 1) * sample_rate_hz / n_fft, edges_hz)  # (n_bins, n_mels)
    return np.asarray(triangles * (2.0 / (edges_hz[2:] - edges_hz[:-2])))


def kaldi_filters(n_mels: int, n_fft: int, sample_rate_hz: int) -> np.ndarray:
    """Triangles of unit height on the mel scale, from 20 Hz to Nyquist: `(n_fft // 2 + 1, n_mels)`, float64."""
    bins = _kaldi_mel(np.arange(n_fft // 2 + 1) * sample_rate_hz / n_fft)
    low, high = _kaldi_mel(np.array([KALDI_LOW_HZ, sample_rate_hz / 2]))
    return _triangles(bins, np.linspace(low, high, n_mels + 2))


def _kaldi_mel(hz: np.ndarray) -> np.ndarray:
    return np.asarray(1127.0 * np.log1p(hz / 700.0))


def _triangles(bins: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Triangles between each edge and the next but one, sampled at `bins`: `(n_bins, n_edges - 2)`."""
    lower, centre, upper = edges[:-2], edges[1:-1], edges[2:]
    rising = (bins[:, None] - lower) / (centre - lower)  # (n_bins, n_mels)
    falling = (upper - bins[:, None]) / (upper - centre)  # (n_bins, n_mels)
    return np.asarray(np.maximum(0.0, np.minimum(rising, falling)))
