"""Levels of the mono mix, measured as a stream."""

from __future__ import annotations

import math

import numpy as np

GATE_BLOCK_S = 0.4
ABSOLUTE_GATE_DBFS = -70.0  # EBU R 128's
RELATIVE_GATE_DB = -10.0
BIN_DB = 0.1
N_BINS = round((20.0 - ABSOLUTE_GATE_DBFS) / BIN_DB)


class LevelMeter:
    """RMS, peak and gated level of a mono stream, in constant memory."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._n_gate = round(GATE_BLOCK_S * sample_rate_hz)
        self._rest = np.zeros(0, np.float32)
        self._counts = np.zeros(N_BINS)  # gate blocks by level
        self._powers = np.zeros(N_BINS)  # and the sum of their power
        self.n_samples = 0
        self.energy = 0.0
        self.peak = 0.0

    def push(self, block: np.ndarray) -> None:
        """`block`: `(n_samples,)` float32."""
        if not len(block):
            return
        self.n_samples += len(block)
        self.energy += float(block @ block)
        self.peak = max(self.peak, float(block.max()), -float(block.min()))
        joined = np.concatenate([self._rest, block]) if len(self._rest) else block
        n_whole = len(joined) // self._n_gate * self._n_gate
        self._rest = joined[n_whole:].copy()
        gated = joined[:n_whole].reshape(-1, self._n_gate)  # (n_gate_blocks, n_gate)
        powers = np.einsum("ij,ij->i", gated, gated) / self._n_gate  # (n_gate_blocks,)
        powers = powers[powers > 10 ** (ABSOLUTE_GATE_DBFS / 10)]  # (n_ungated,)
        bins = ((10 * np.log10(powers) - ABSOLUTE_GATE_DBFS) / BIN_DB).astype(int).clip(0, N_BINS - 1)  # (n_ungated,)
        self._counts += np.bincount(bins, minlength=N_BINS)
        self._powers += np.bincount(bins, weights=powers, minlength=N_BINS)

    @property
    def rms_dbfs(self) -> float:
        return decibel(self.energy / max(1, self.n_samples))

    @property
    def peak_dbfs(self) -> float:
        return decibel(self.peak * self.peak)

    @property
    def gated_dbfs(self) -> float:
        """Mean power of the blocks above both gates."""
        if not self._counts.any():
            return decibel(0.0)
        ungated_db = decibel(self._powers.sum() / self._counts.sum())
        first = max(0, int((ungated_db + RELATIVE_GATE_DB - ABSOLUTE_GATE_DBFS) / BIN_DB))
        return decibel(self._powers[first:].sum() / max(1.0, self._counts[first:].sum()))


def decibel(power: float) -> float:
    """Power relative to full scale in dB, at least -120."""
    return round(10 * math.log10(max(power, 1e-12)), 2)
