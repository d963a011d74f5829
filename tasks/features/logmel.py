"""Log-mel features in torch: one implementation for every model family and device. Whisper's windows on a CPU are
computed by `whisper_native`.

The utterances of a group are concatenated into one signal, each starting at a multiple of the hop, so that a strided
view yields every frame without padding to the longest utterance. The frames then pass in blocks through one rfft and a
few matrix products. On a CPU, a block is as small as its arrays need to stay in a core's share of the cache, and as
large as the fixed cost of some fifteen operations allows; on a GPU it is large.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from tasks.features.config import FeatureFamily, FeaturesConfig
from tasks.features.mel import kaldi_filters, slaney_filters
from tasks.features.whisper_native import native_log_mel

if TYPE_CHECKING:
    import numpy as np

PARAKEET_LOG_GUARD = 2.0**-24  # added before the logarithm (NeMo)
PARAKEET_NORM_GUARD = 1e-5  # added to the standard deviation (NeMo)
WHISPER_FLOOR = 1e-10  # minimum mel power before the logarithm
WHISPER_RANGE = 8.0  # decades kept below the maximum
KALDI_FULL_SCALE = 2.0**15  # Kaldi's samples are 16-bit integers
KALDI_FLOOR = torch.finfo(torch.float32).eps  # minimum mel power before the logarithm
KALDI_NORM_GUARD = 1e-7  # added to the variance (transformers)

# Filters per matrix product. Each filter covers few bins, so splitting the product into bands halves its time on a CPU
# core. The BLAS kernels are 16 columns wide: with 128 mels, eight bands take 0.7 of the time of five.
BAND_MELS = 16


@dataclass(frozen=True)
class BlockSizes:
    """Frames per block (one rfft) in single precision, half as many in double, and per group (one signal)."""

    block: int
    group: int


BLOCK_SIZES = {"cpu": BlockSizes(block=768, group=1024), "cuda": BlockSizes(block=65_536, group=1 << 20)}


class LogMel:
    """Extracts features of one configuration on one device.

    Window and filters are computed once. Instances hold no state between calls, so threads may share one.
    """

    def __init__(
        self, config: FeaturesConfig, device: str | torch.device = "cpu", *, allows_native: bool = True
    ) -> None:
        """`allows_native`: whether `whisper_native` may compute them on a CPU."""
        self.config = config
        self.device = torch.device(device)
        self._native = native_log_mel(config) if allows_native and self.device.type == "cpu" else None
        self._sizes = BLOCK_SIZES.get(self.device.type, BLOCK_SIZES["cuda"])
        # Kaldi's frames start at multiples of the hop, the others' are centred there.
        self._margin = 0 if config.family is FeatureFamily.KALDI else config.n_fft // 2
        # The Kaldi features of transformers are computed by NumPy in double precision. In single precision, rounding
        # errors of a loud formant show in quiet bins: up to 2e-3 on read speech.
        self._dtype = torch.float64 if config.family is FeatureFamily.KALDI else torch.float32
        self._window = _window(config, self._dtype).to(self.device)
        self._bands = [
            (bins, mels, filters.to(self.device)) for bins, mels, filters in _banded(_filters(config), BAND_MELS)
        ]

    def __call__(self, waveforms: Sequence[np.ndarray | torch.Tensor]) -> list[torch.Tensor]:
        """Extract features of mono float waveforms at `config.sample_rate_hz`: `(n_frames, n_features)` float32 each.

        An utterance shorter than a frame has none. One longer than Whisper's window is cut.
        """
        signals = [self._signal(waveform) for waveform in waveforms]
        if self._native:
            return [torch.from_numpy(self._native(signal.numpy())).T for signal in signals]
        return [features for group in self._groups(signals) for features in self._extract(group)]

    def _signal(self, waveform: np.ndarray | torch.Tensor) -> torch.Tensor:
        signal = torch.as_tensor(waveform).to(torch.float32)
        if signal.dim() != 1:
            raise ValueError(f"features: a waveform must be mono, (n_samples,), not {tuple(signal.shape)}")
        return signal[: self.config.window_samples] if self.config.window_samples else signal

    def _groups(self, signals: list[torch.Tensor]) -> Iterator[list[torch.Tensor]]:
        group: list[torch.Tensor] = []
        n_frames = 0
        for signal in signals:
            group.append(signal)
            n_frames += len(signal) // self.config.hop_samples
            if n_frames >= self._sizes.group:
                yield group
                group, n_frames = [], 0
        if group:
            yield group

    def _extract(self, signals: list[torch.Tensor]) -> list[torch.Tensor]:
        line, starts = self._concatenate(signals)  # (n_line,)
        logs = self._log_mels(line.to(self.device))  # (n_frames of all, n_mels)
        features = []
        for signal, start in zip(signals, starts, strict=True):
            first = start // self.config.hop_samples
            own = logs[first : first + self._n_computed(len(signal))]  # (n_frames, n_mels)
            if self.config.family is FeatureFamily.WHISPER and self.config.window_samples:
                features.append(whisper_range(own, self.config.n_frames(len(signal))))
                continue
            if self.config.per_feature_norm:
                own = per_feature_norm(own, self.config.family)
            features.append(_stacked(own, self.config.stride))  # (n_frames // stride, n_features)
        return features

    def _n_computed(self, n_samples: int) -> int:
        """Number of frames to compute. Frames of Whisper's window beyond the last sample are all equal."""
        n_spectra = self.config.n_spectra(n_samples)
        if self.config.family is FeatureFamily.WHISPER:
            return min(n_spectra, -(-(n_samples + self._margin) // self.config.hop_samples))
        return n_spectra

    def _concatenate(self, signals: list[torch.Tensor]) -> tuple[torch.Tensor, list[int]]:
        """All signals with zeros around each, `(n_line,)`, and where the first frame of each starts.

        Starts are multiples of the hop.
        """
        hop, margin = self.config.hop_samples, self._margin
        starts, end = [], 0
        for signal in signals:
            starts.append(end)
            last_frame = max(0, self._n_computed(len(signal)) - 1) * hop
            length = max(len(signal) + 3 * margin, last_frame + self.config.n_fft)  # third: Whisper's reflection
            end += -(-length // hop) * hop
        line = torch.empty(end, dtype=self._dtype, device=signals[0].device)
        for signal, start, following in zip(signals, starts, [*starts[1:], end], strict=True):
            target = line[start + margin : start + margin + len(signal)]
            line[start : start + margin] = 0
            line[start + margin + len(signal) : following] = 0
            if self.config.family is FeatureFamily.PARAKEET and len(signal):
                target[0] = signal[0]
                # Two operations, to round twice as the reference does.
                torch.mul(signal[:-1], self.config.preemphasis, out=target[1:])
                torch.sub(signal[1:], target[1:], out=target[1:])
            else:
                target.copy_(signal)
            if self.config.family is FeatureFamily.WHISPER and self.config.window_samples:
                _reflect(line[start:], margin, len(signal), self.config.window_samples)
        return line, starts

    def _log_mels(self, line: torch.Tensor) -> torch.Tensor:
        """Log mel power of all frames of the concatenated signal, `(n_frames, n_mels)`."""
        is_kaldi = self.config.family is FeatureFamily.KALDI
        if is_kaldi:
            line, offsets = self._emphasised(line)
        frames = line.unfold(0, self.config.n_fft, self.config.hop_samples)  # (n_frames, n_fft), a view
        n_blocks = -(-len(frames) * self._dtype.itemsize // (4 * self._sizes.block))
        n_block = -(-len(frames) // n_blocks)
        logs = line.new_empty(len(frames), self.config.n_mels, dtype=torch.float32)
        windowed, mels = line.new_empty(n_block, self.config.n_fft), logs.new_empty(n_block, self.config.n_mels)
        products = [(bins, filters, mels[:, columns]) for bins, columns, filters in self._bands]
        for number in range(n_blocks):
            # All blocks have one size and share these views: the last one computes a few frames again.
            first = min(number * n_block, len(frames) - n_block)
            block = slice(first, first + n_block)
            if is_kaldi:
                torch.lerp(offsets[block], frames[block], self._window, out=windowed)  # (n_block, n_fft)
            else:
                torch.mul(frames[block], self._window, out=windowed)  # (n_block, n_fft)
            spectrum = torch.fft.rfft(windowed).to(torch.complex64)
            power = spectrum.view(torch.float32).square_()  # (n_block, 2 * n_bins): re, im, re, im, ...
            for bins, filters, band in products:
                torch.mm(power[:, bins], filters, out=band)
            if self.config.family is FeatureFamily.PARAKEET:
                torch.log(mels.add_(PARAKEET_LOG_GUARD), out=logs[block])
            elif self.config.family is FeatureFamily.WHISPER:
                torch.log10(mels.clamp_(min=WHISPER_FLOOR), out=logs[block])
            else:
                torch.log(mels.clamp_(min=KALDI_FLOOR), out=logs[block])
        return logs

    def _emphasised(self, line: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Kaldi's pre-emphasis of the whole line, `(n_line,)`, and what its DC removal takes from each frame of that,
        `(n_frames, 1)`.

        Kaldi does both per frame, DC first. The result is the same but for a frame's first sample, where the window is
        0. For a frame e, its offset c and the window w, `torch.lerp` yields c + w (e - c) in one pass instead of
        w (e - c) in two: a constant changes the bin of 0 Hz only, which no filter of Kaldi's covers.
        """
        n_win, hop, share = self.config.win_samples, self.config.hop_samples, self.config.preemphasis
        emphasised = torch.empty_like(line)
        emphasised[0] = 0
        torch.sub(line[1:], line[:-1], alpha=share, out=emphasised[1:])
        part = math.gcd(n_win, hop)  # frames overlap: each sample is summed once, in a part
        sums = line[: len(line) // part * part].view(-1, part).sum(dim=1)  # (n_parts,)
        means = sums.unfold(0, n_win // part, hop // part).sum(dim=1, keepdim=True).div_(n_win)  # (n_frames, 1)
        return emphasised, means.mul_(1 - share)


def _reflect(line: torch.Tensor, margin: int, n_samples: int, window: int) -> None:
    """Reflect Whisper's window at its start, and at its end if the audio reaches that far."""
    line[:margin] = line[margin + 1 : 2 * margin + 1].flip(0)
    if n_samples > window - margin:
        end = margin + window
        line[end : end + margin] = line[end - margin - 1 : end - 1].flip(0)


def _window(config: FeaturesConfig, dtype: torch.dtype) -> torch.Tensor:
    """The window, zero-padded to `(n_fft,)`, in the reference's precision so that rounding is the same."""
    periodic = (
        config.family is FeatureFamily.WHISPER
    )  # torch's own default; NeMo and Kaldi ask for the symmetric window
    window = torch.hann_window(config.win_samples, periodic=periodic, dtype=dtype)
    if config.family is FeatureFamily.KALDI:
        # Povey's window. Its first value is 0, so the pre-emphasis of a frame's first sample does not matter.
        return torch.nn.functional.pad(window**0.85, (0, config.n_fft - config.win_samples))
    margin = (config.n_fft - config.win_samples) // 2
    return torch.nn.functional.pad(window, (margin, config.n_fft - config.win_samples - margin))


def _filters(config: FeaturesConfig) -> torch.Tensor:
    """`(2 * n_bins, n_mels)` float32: each weight twice, for a bin's real and imaginary part.

    So the matrix product also adds the two squares: summing pairs separately takes longer than the larger product.
    """
    if config.family is FeatureFamily.KALDI:
        filters = kaldi_filters(config.n_mels, config.n_fft, config.sample_rate_hz) * KALDI_FULL_SCALE**2
    else:
        filters = slaney_filters(config.n_mels, config.n_fft, config.sample_rate_hz)
    return torch.from_numpy(filters).float().repeat_interleave(2, dim=0)


def _banded(filters: torch.Tensor, band_mels: int) -> list[tuple[slice, slice, torch.Tensor]]:
    """Split the filters into bands of neighbours: rows with non-zero weights, columns, and those weights."""
    n_mels = filters.shape[1]
    bands = []
    for first, last in itertools.pairwise([*range(0, n_mels, band_mels), n_mels]):
        used = filters[:, first:last].any(dim=1).nonzero().flatten().tolist()
        rows = slice(used[0], used[-1] + 1) if used else slice(0, 1)
        bands.append((rows, slice(first, last), filters[rows, first:last].contiguous()))
    return bands


def whisper_range(logs: torch.Tensor, n_frames: int) -> torch.Tensor:
    """Apply Whisper's clamp and scale and fill the rest of its window with silence: `(n_frames, n_mels)`.

    `logs` are base-10 logarithms without any range, as a configuration with `window_samples=0` gives them. Overwrites
    them.
    """
    lowest = logs.amax() - WHISPER_RANGE
    full = logs.new_empty(n_frames, logs.shape[1])
    full[len(logs) :] = lowest.clamp(min=torch.tensor(WHISPER_FLOOR).log10().item()).add(4.0).div(4.0)
    torch.maximum(logs, lowest, out=full[: len(logs)]).add_(4.0).div_(4.0)
    return full


def per_feature_norm(features: torch.Tensor, family: FeatureFamily = FeatureFamily.PARAKEET) -> torch.Tensor:
    """Normalise each mel to zero mean and unit deviation over an utterance's frames, `(n_frames, n_mels)`.

    With Bessel's correction, as in NeMo's `per_feature` and transformers' `do_normalize_per_mel_bins`, which differ in
    how they avoid a zero divisor. A single frame has no deviation (the references yield NaN); it becomes zeros.
    """
    if not len(features):
        return features
    centred = features - features[0]  # exactly zero for constant features, where a rounded mean would leave noise
    centred -= centred.mean(dim=0)  # (n_frames, n_mels)
    variance = centred.square().sum(dim=0) / max(len(features) - 1, 1)  # (n_mels,)
    if family is FeatureFamily.KALDI:
        return centred.div_((variance + KALDI_NORM_GUARD).sqrt_())
    return centred.div_(variance.sqrt_() + PARAKEET_NORM_GUARD)


def _stacked(features: torch.Tensor, stride: int) -> torch.Tensor:
    """Stack each `stride` frames: `(n_frames // stride, stride * n_mels)`.

    Drops an incomplete last frame, which transformers pads and hides by the attention mask.
    """
    n_frames, n_mels = len(features) // stride, features.shape[1]
    return features[: n_frames * stride].reshape(n_frames, stride * n_mels)


def pad_batch(features: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Pad features of several lengths to one batch: `(batch, n_frames, n_features)`, zero-padded at the end, and the
    boolean attention mask `(batch, n_frames)`."""
    lengths = torch.tensor([len(f) for f in features])
    batch = torch.nn.utils.rnn.pad_sequence(list(features), batch_first=True)  # (batch, n_frames, n_features)
    mask = torch.arange(batch.shape[1])[None, :] < lengths[:, None]  # (batch, n_frames)
    return batch, mask.to(batch.device)
