"""Downmix to mono without losing a voice: leave out dead channels, never sum channels in opposite phase."""

from __future__ import annotations

import math

import numpy as np

from tasks.media.findings import ChannelLevel
from tasks.media.loudness import decibel

DEAD_RATIO = 1e-4  # of power, 40 dB below the loudest channel
DIGITAL_SILENCE = 1e-9  # of power, -90 dBFS: one bit of 16
CANCELLED_RATIO = 0.05  # -13 dB: two uncorrelated channels give -3 dB, two in opposite phase nothing
MEMORY_S = 10.0  # time constant of the power average: a channel that falls silent is dead after 90 s
CROSSFADE_S = 0.02
UNLIKE_WINDOW_S = 0.1
UNLIKE_CORRELATION = 0.5  # of the samples; a voice in the middle or panned has 0.9 and more, whatever its phase
UNLIKE_POWER, UNLIKE_RATIO = 1e-6, 1e-3  # both channels above -60 dBFS and within 30 dB of each other
CEILING = 8.0  # +18 dBFS; float files may exceed full scale, but not by more
CLIPPED = 0.999

# ITU-R BS.775 downmix to mono. Positions not listed here (height channels) count as surround.
WEIGHTS = {"FC": 1.0, "FL": 0.7071, "FR": 0.7071, "DL": 0.7071, "DR": 0.7071, "LFE": 0.0, "LFE2": 0.0}
SURROUND_WEIGHT = 0.5

# FFmpeg's default layouts for channels without positions, by their number. No entry for 8: eight channels are a
# recorder's stereo pairs more often than 7.1.
DEFAULT_LAYOUTS = {5: ("FL", "FR", "FC", "BL", "BR"), 6: ("FL", "FR", "FC", "LFE", "BL", "BR")}


class Downmixer:
    """Mixes blocks of one channel layout to mono and measures every channel."""

    def __init__(
        self, n_channels: int, sample_rate_hz: int, *, names: tuple[str, ...] = (), channels: tuple[int, ...] = ()
    ):
        """`names`: the channel positions ("FL", "FC"), if known. `channels`: mix only these; empty for all."""
        names = names if len(names) == n_channels else DEFAULT_LAYOUTS.get(n_channels, ())
        self.n_channels, self.sample_rate_hz = n_channels, sample_rate_hz
        self._base = self._base_weights(n_channels, names)
        self._has_no_positions = n_channels > 2 and len(names) != n_channels
        self._selected = sorted({min(channel, n_channels - 1) for channel in channels})
        self._recent = np.zeros(n_channels)  # exponentially averaged power
        self._weights: np.ndarray | None = None
        self._mono = np.empty(0, np.float32)  # reused: allocating memory for each block takes as long as mixing it
        self.cancelling_s = self.unlike_s = 0.0
        self.n_samples = 0
        self.energy = np.zeros(n_channels)
        self.peak = 0.0
        self.clipped = np.zeros(n_channels, np.int64)

    @staticmethod
    def _base_weights(n_channels: int, names: tuple[str, ...]) -> np.ndarray:
        if len(names) != n_channels or n_channels <= 2:
            return np.ones(n_channels)
        weights = np.array([WEIGHTS.get(name, SURROUND_WEIGHT) for name in names])
        return weights if weights.any() else np.ones(n_channels)

    def mix(self, samples: np.ndarray) -> np.ndarray:
        """Mix `(n_channels, n_samples)` float32 to `(n_samples,)`. Replaces NaN and clips extreme values in place.

        The result is a view of `samples`, or of memory that the next call reuses.
        """
        n_samples = samples.shape[1]
        power = self._measure(samples) / n_samples  # (n_channels,)
        if len(samples) == 1:
            return samples[0]
        if len(samples) == 2:
            self.unlike_s += UNLIKE_WINDOW_S * self._count_unlike(samples)
        fade = math.exp(-n_samples / self.sample_rate_hz / MEMORY_S)
        self._recent = fade * self._recent + (1 - fade) * power
        weights = self._live_weights()  # (n_channels,)
        if len(self._mono) < n_samples:
            self._mono = np.empty(n_samples, np.float32)
        mono = _weighted(weights, samples, self._mono[:n_samples])  # (n_samples,)
        # If the mix is far weaker than its channels, they cancel each other: use the loudest instead.
        if np.count_nonzero(weights) > 1:
            expected = float(weights @ power)
            if expected > DIGITAL_SILENCE and float(mono @ mono) / n_samples < CANCELLED_RATIO * expected:
                weights = self._loudest(weights * self._recent)
                _weighted(weights, samples, mono)
                self.cancelling_s += n_samples / self.sample_rate_hz
        if self._weights is not None and not np.array_equal(weights, self._weights):
            self._crossfade(samples, mono, self._weights, weights)
        self._weights = weights
        return mono

    def _count_unlike(self, samples: np.ndarray) -> int:
        """Count the windows of `(2, n_samples)` in which both channels carry sound that does not correlate."""
        n_window = round(UNLIKE_WINDOW_S * self.sample_rate_hz)
        windows = samples[:, : samples.shape[1] // n_window * n_window].reshape(2, -1, n_window)
        first, second = np.vecdot(windows, windows) / n_window  # (n_windows,) each
        cross = np.vecdot(windows[0], windows[1]) / n_window  # (n_windows,)
        weaker, stronger = np.minimum(first, second), np.maximum(first, second)
        is_live = weaker > np.maximum(UNLIKE_POWER, UNLIKE_RATIO * stronger)
        return int(np.count_nonzero(is_live & (cross * cross < UNLIKE_CORRELATION**2 * first * second)))

    def levels(self) -> tuple[ChannelLevel, ...]:
        """The level of each channel over everything mixed so far."""
        n_samples = max(1, self.n_samples)
        power = self.energy / n_samples
        floor = max(DIGITAL_SILENCE, float(power.max(initial=0.0)) * DEAD_RATIO)
        return tuple(
            ChannelLevel(
                rms_dbfs=decibel(channel_power),
                clipped_share=round(int(clipped) / n_samples, 9),
                is_dead=bool(channel_power <= floor),
            )
            for channel_power, clipped in zip(power.tolist(), self.clipped, strict=True)
        )

    def _measure(self, samples: np.ndarray) -> np.ndarray:
        """Energy of each channel of a block, `(n_channels,)`."""
        peak = max(float(samples.max()), -float(samples.min()))
        if not peak <= CEILING:  # also true of NaN
            np.nan_to_num(samples, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
            np.clip(samples, -CEILING, CEILING, out=samples)
            peak = float(np.abs(samples).max())
        if peak >= CLIPPED:
            self.clipped += np.count_nonzero(np.abs(samples) >= CLIPPED, axis=1)
        self.peak = max(self.peak, peak)
        energy = np.array([float(row @ row) for row in samples])  # (n_channels,)
        self.energy += energy
        self.n_samples += samples.shape[1]
        return energy

    def _live_weights(self) -> np.ndarray:
        """Weights, `(n_channels,)`, that sum to 1 over the channels that carry sound."""
        if self._selected:
            weights = np.zeros_like(self._base)
            weights[self._selected] = 1 / len(self._selected)
            return weights
        live = self._recent > max(DIGITAL_SILENCE, float(self._recent.max()) * DEAD_RATIO)
        if not live.any():
            live[:] = True
        if self._has_no_positions:
            # Channels without positions are stereo pairs, the programme mix first (EBU R 48): use the first live pair.
            first = int(np.argmax(live)) // 2 * 2
            live[:first] = False
            live[first + 2 :] = False
        weights = np.where(live, self._base, 0.0)
        if not weights.any():  # only the LFE channel is live
            weights = live.astype(float)
        return np.asarray(weights / weights.sum())

    def _loudest(self, power: np.ndarray) -> np.ndarray:
        """Weights that select the first channel within 6 dB of the loudest, so that equal channels do not alternate."""
        weights = np.zeros_like(power)
        weights[int(np.argmax(power >= power.max() / 4))] = 1.0
        return weights

    def _crossfade(self, samples: np.ndarray, mono: np.ndarray, before: np.ndarray, after: np.ndarray) -> None:
        n_fade = min(len(mono), round(CROSSFADE_S * self.sample_rate_hz))
        rising = np.linspace(0.0, 1.0, n_fade, dtype=np.float32)
        mono[:n_fade] = rising * _weighted(after, samples[:, :n_fade]) + (1 - rising) * _weighted(
            before, samples[:, :n_fade]
        )


def _weighted(weights: np.ndarray, samples: np.ndarray, mono: np.ndarray | None = None) -> np.ndarray:
    """The weighted sum over channels, `(n_samples,)`, written to `mono` if given."""
    used = np.flatnonzero(weights)
    if len(used) == 1 and weights[used[0]] == 1.0:
        mono = np.empty(samples.shape[1], np.float32) if mono is None else mono
        mono[:] = samples[used[0]]
        return mono
    return np.matmul(weights.astype(np.float32), samples, out=mono)
