"""Log-mel features in torch: one implementation for every model family and device.

All utterances of a batch are laid one after the other in one signal, each starting at a multiple
of the hop, so that a strided view yields every frame without padding anyone to the longest. The
frames then pass in blocks through one rfft and one matrix product. A block is small enough to
stay in a core's cache; on a GPU it is large.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from tasks.features.config import Family, FeaturesConfig
from tasks.features.mel import mel_filters

if TYPE_CHECKING:
    import numpy as np

PARAKEET_LOG_GUARD = 2.0**-24  # added before the logarithm (NeMo)
PARAKEET_NORM_GUARD = 1e-5  # added to the deviation (NeMo)
WHISPER_FLOOR = 1e-10  # least mel power before the logarithm
WHISPER_RANGE = 8.0  # decades kept below the loudest value

BLOCK_FRAMES = {"cpu": 512, "cuda": 65_536}


class LogMel:
    """Extracts features of one configuration on one device.

    Window and filters are made once. Instances hold no state of an utterance: one may serve many
    threads.
    """

    def __init__(self, config: FeaturesConfig, device: str | torch.device = "cpu") -> None:
        self.config = config
        self.device = torch.device(device)
        periodic = config.family is Family.WHISPER  # torch's own default; NeMo asks for the symmetric window
        window = torch.hann_window(config.win_samples, periodic=periodic, dtype=torch.float64)
        margin = (config.n_fft - config.win_samples) // 2
        padded = torch.zeros(config.n_fft, dtype=torch.float64)
        padded[margin : margin + config.win_samples] = window
        self._window = padded.to(self.device, torch.float32)
        filters = mel_filters(config.n_mels, config.n_fft, config.sample_rate_hz)
        # Each filter twice, once for a bin's real part and once for its imaginary part: the matrix product then adds
        # the two squares as well. Summing pairs in a pass of its own takes longer than the larger product.
        self._filters = torch.from_numpy(filters).repeat_interleave(2, dim=0).to(self.device, torch.float32)
        self._block_frames = BLOCK_FRAMES.get(self.device.type, BLOCK_FRAMES["cuda"])

    def __call__(self, waveforms: Sequence[np.ndarray | torch.Tensor]) -> list[torch.Tensor]:
        """Features of mono float waveforms at `config.sample_rate_hz`: one `(n_frames, n_mels)` float32 each.

        An utterance shorter than one hop has no frames in the Parakeet family. Whisper's window cuts
        what is longer than itself.
        """
        signals = [self._signal(waveform) for waveform in waveforms]
        if self.config.family is Family.WHISPER:
            return self._whisper(signals)
        return self._parakeet(signals)

    def _signal(self, waveform: np.ndarray | torch.Tensor) -> torch.Tensor:
        signal = torch.as_tensor(waveform).to(self.device, torch.float32)
        if signal.dim() != 1:
            raise ValueError(f"features: a waveform must be mono, (n_samples,), not {tuple(signal.shape)}")
        return signal[: self.config.window_samples] if self.config.window_samples else signal

    def _parakeet(self, signals: list[torch.Tensor]) -> list[torch.Tensor]:
        half = self.config.n_fft // 2
        n_frames = [self.config.n_frames(len(signal)) for signal in signals]
        line, starts = self._line([len(signal) for signal in signals], n_frames)
        for signal, start in zip(signals, starts, strict=True):
            place = line[start + half : start + half + len(signal)]
            place.copy_(signal)
            if self.config.preemphasis:
                place[1:].sub_(signal[:-1], alpha=self.config.preemphasis)
        powers = self._mel_powers(line)
        logs = powers.add_(PARAKEET_LOG_GUARD).log_()
        features = self._split(logs, starts, n_frames)
        return [per_feature_norm(f) for f in features] if self.config.per_feature_norm else features

    def _whisper(self, signals: list[torch.Tensor]) -> list[torch.Tensor]:
        """Frames that touch no sample are constant: they are filled in, not computed."""
        half, hop, window = self.config.n_fft // 2, self.config.hop_samples, self.config.window_samples
        total_frames = window // hop
        n_frames = [min(total_frames, -(-(len(signal) + half) // hop)) for signal in signals]
        line, starts = self._line([min(window, len(signal) + half) for signal in signals], n_frames)
        for signal, start in zip(signals, starts, strict=True):
            place = line[start : start + half + min(window, len(signal) + half) + half]
            place[half : half + len(signal)] = signal
            place[:half] = place[half + 1 : 2 * half + 1].flip(0)  # the window's start, mirrored
            if len(signal) > window - half:  # and its end, where sound reaches it
                end = half + window
                place[end : end + half] = place[end - half - 1 : end - 1].flip(0)
        logs = self._mel_powers(line).clamp_(min=WHISPER_FLOOR).log10_()
        floor = torch.tensor(WHISPER_FLOOR).log10().item()
        features = []
        for found in self._split(logs, starts, n_frames):
            full = found.new_full((total_frames, self.config.n_mels), floor)
            full[: len(found)] = found
            lowest = full.max() - WHISPER_RANGE
            features.append(full.maximum(lowest).add_(4.0).div_(4.0))
        return features

    def _line(self, lengths: list[int], n_frames: list[int]) -> tuple[torch.Tensor, list[int]]:
        """Zeros to lay all signals on with half a window around each; starts are multiples of the hop."""
        hop, n_fft = self.config.hop_samples, self.config.n_fft
        starts, end = [], 0
        for length, frames in zip(lengths, n_frames, strict=True):
            starts.append(end)
            room = max(length + n_fft, frames * hop)
            end += -(-room // hop) * hop
        return torch.zeros(end, device=self.device), starts

    def _mel_powers(self, line: torch.Tensor) -> torch.Tensor:
        """Mel powers of all frames of the line, `(n_frames, n_mels)`."""
        if len(line) < self.config.n_fft:
            return line.new_zeros(0, self.config.n_mels)
        n_fft, hop = self.config.n_fft, self.config.hop_samples
        frames = line.unfold(0, n_fft, hop)  # (n_frames, n_fft), a view
        powers = line.new_empty(len(frames), self.config.n_mels)
        windowed = line.new_empty(min(self._block_frames, len(frames)), n_fft)
        for block, out in zip(frames.split(self._block_frames), powers.split(self._block_frames), strict=True):
            spectrum = torch.fft.rfft(torch.mul(block, self._window, out=windowed[: len(block)]))
            parts = torch.view_as_real(spectrum).view(len(block), -1)  # (n_block, 2 * n_bins): re, im, re, im, ...
            torch.mm(parts.square_(), self._filters, out=out)
        return powers

    def _split(self, logs: torch.Tensor, starts: list[int], n_frames: list[int]) -> list[torch.Tensor]:
        hop = self.config.hop_samples
        return [logs[start // hop : start // hop + frames] for start, frames in zip(starts, n_frames, strict=True)]


def per_feature_norm(features: torch.Tensor) -> torch.Tensor:
    """Each mel to zero mean and unit deviation over an utterance's frames, `(n_frames, n_mels)`.

    As NeMo's `per_feature`, with Bessel's correction. A single frame has no deviation (the reference
    yields NaN there); it becomes zeros.
    """
    if not len(features):
        return features
    shifted = features - features[0]  # exact zeros for a constant, where a rounded mean would leave noise
    centred = shifted - shifted.mean(dim=0)
    deviation = (centred.square().sum(dim=0) / max(len(features) - 1, 1)).sqrt()
    return centred / (deviation + PARAKEET_NORM_GUARD)


def pad_batch(features: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of several lengths as one batch: `(batch, n_frames, n_mels)` with zeros behind, and the boolean
    attention mask `(batch, n_frames)`."""
    lengths = torch.tensor([len(f) for f in features])
    batch = torch.nn.utils.rnn.pad_sequence(list(features), batch_first=True)
    mask = torch.arange(batch.shape[1])[None, :] < lengths[:, None]
    return batch, mask.to(batch.device)
