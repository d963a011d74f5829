"""The embedded diarizer's two networks, as pyannote.audio models.

Both take the same log-mel frames, 50 per second. The embedding network is a small residual TDNN with statistics pooling
(x-vector: D. Snyder et al., ICASSP 2018). The segmentation network follows pyannote's powerset segmentation (A. Plaquet
and H. Bredin, Interspeech 2023). Beside the spectrum it takes an embedding of each second from the embedding network:
separating speakers within a window is then easy to learn, even from little speech.
"""

from __future__ import annotations

from typing import Any

import torch
from pyannote.audio import Model
from pyannote.audio.core.task import Problem, Resolution, Specifications
from pyannote.audio.models.blocks.pooling import StatsPool
from pyannote.audio.utils.powerset import Powerset
from torch import nn

from tasks.audio import SAMPLE_RATE_HZ
from tasks.features.config import parakeet
from tasks.features.logmel import LogMel

FEATURES = parakeet(hop_samples=320, n_mels=64, per_feature_norm=False)
WINDOW_S = 10.0  # length of a segmentation window
STRIDE = 2  # feature frames per segmentation frame
FRAME_SAMPLES = STRIDE * FEATURES.hop_samples  # 640 samples in 40 ms
N_WINDOW_FRAMES = int(WINDOW_S * SAMPLE_RATE_HZ) // FRAME_SAMPLES  # 250 frames
MIN_SPEECH_S = 0.5  # shorter speech gets no embedding
MAX_SPEAKERS = 3  # in a segmentation window
MAX_SIMULTANEOUS = 2
LOCAL_FRAMES = 51  # feature frames of a local embedding: one second


class Spectrum(nn.Module):
    """Waveforms `(batch, n_samples)` to log-mels `(batch, n_mels, n_frames)`, with zero mean so that level has no
    effect."""

    def __init__(self) -> None:
        super().__init__()
        self._extractors: dict[torch.device, LogMel] = {}

    def forward(self, waveforms: torch.Tensor) -> torch.Tensor:
        device = waveforms.device
        logmel = self._extractors.setdefault(device, LogMel(FEATURES, device))
        mels = torch.stack(logmel(list(waveforms))).transpose(1, 2)  # (batch, n_mels, n_frames)
        return (mels - mels.mean(dim=(1, 2), keepdim=True)) / 4.0


class Residual(nn.Module):
    """A dilated convolution over time with a skip connection, `(batch, channels, n_frames)` in and out."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(channels, channels, 3, padding=dilation, dilation=dilation)
        self.norm = nn.BatchNorm1d(channels)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return frames + self.norm(torch.relu(self.convolution(frames)))


class EmbeddingNetwork(Model):
    """Speaker embeddings, compared by cosine."""

    def __init__(
        self,
        sample_rate: int = SAMPLE_RATE_HZ,
        num_channels: int = 1,
        task: Any = None,
        channels: int = 128,
        dimension: int = 96,
    ) -> None:
        super().__init__(sample_rate=sample_rate, num_channels=num_channels, task=task)
        self.channels, self.dimension = channels, dimension
        self.spectrum = Spectrum()
        self.first = nn.Sequential(
            nn.Conv1d(FEATURES.n_mels, channels, 5, padding=2), nn.ReLU(), nn.BatchNorm1d(channels)
        )
        self.blocks = nn.Sequential(*(Residual(channels, dilation) for dilation in (1, 2, 3, 4)))
        self.last = nn.Sequential(nn.Conv1d(channels, 2 * channels, 1), nn.ReLU(), nn.BatchNorm1d(2 * channels))
        self.pool = StatsPool()
        self.projection = nn.Linear(4 * channels, dimension)
        self.specifications = Specifications(
            problem=Problem.REPRESENTATION, resolution=Resolution.CHUNK, duration=WINDOW_S
        )

    def forward(  # type: ignore[override]  # as upstream's own embedding networks
        self, waveforms: torch.Tensor, weights: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Embeddings `(batch, dimension)` of `waveforms`, `(batch, 1, n_samples)`.

        `weights`, `(batch, n_weights)`, are the speaker's activity over time. The pipeline passes each of a window's
        speakers with the same waveform, one after the other: its frames are computed once.
        """
        if weights is None:
            if waveforms.shape[-1] < MIN_SPEECH_S * SAMPLE_RATE_HZ:
                raise ValueError("too short for an embedding")  # upstream finds the minimum by trial
            return self.projection(self.pool(self.frames(waveforms[:, 0])))
        distinct, which = torch.unique_consecutive(waveforms[:, 0], dim=0, return_inverse=True)
        # (n_distinct, n_samples), (batch,)
        return self.projection(self.pool(self.frames(distinct)[which], weights=weights))

    def frames(self, waveforms: torch.Tensor) -> torch.Tensor:
        """The frames before pooling, `(batch, 2 * channels, n_frames)`, of waveforms `(batch, n_samples)`."""
        return self.frames_of_mels(self.spectrum(waveforms))

    def frames_of_mels(self, mels: torch.Tensor) -> torch.Tensor:
        """The frames before pooling, `(batch, 2 * channels, n_frames)`, of log-mels `(batch, n_mels, n_frames)`."""
        return self.last(self.blocks(self.first(mels)))

    def local_embeddings(self, frames: torch.Tensor) -> torch.Tensor:
        """Unit embeddings of the second around every other frame, `(batch, dimension, n_frames / STRIDE)`."""
        pooled = [
            nn.functional.avg_pool1d(x, LOCAL_FRAMES, STRIDE, LOCAL_FRAMES // 2, count_include_pad=False)
            for x in (frames, frames.square())
        ]
        mean, square = pooled  # (batch, 2 * channels, n_frames / STRIDE) both
        deviation = (square - mean.square()).clamp(min=1e-6).sqrt()
        # (batch, n_frames / STRIDE, dimension)
        embeddings = self.projection(torch.cat([mean, deviation], dim=1).transpose(1, 2))
        return nn.functional.normalize(embeddings, dim=-1).transpose(1, 2)


def powerset_specifications(window_s: float, max_speakers: int, max_simultaneous: int) -> Specifications:
    """What a segmentation network of this window and these speakers gives: a class for each set of them."""
    return Specifications(
        problem=Problem.MONO_LABEL_CLASSIFICATION,
        resolution=Resolution.FRAME,
        duration=window_s,
        classes=[f"speaker {n}" for n in range(1, max_speakers + 1)],
        powerset_max_classes=max_simultaneous,
        permutation_invariant=True,
    )


class SegmentationNetwork(Model):
    """Powerset segmentation: log-probabilities of the sets of at most three active speakers in each 40 ms of a
    window."""

    def __init__(
        self,
        sample_rate: int = SAMPLE_RATE_HZ,
        num_channels: int = 1,
        task: Any = None,
        embedding: EmbeddingNetwork | None = None,
        hidden: int = 64,
        layers: int = 2,
    ) -> None:
        super().__init__(sample_rate=sample_rate, num_channels=num_channels, task=task)
        self.hidden, self.layers = hidden, layers
        # In a tuple, so that it is not registered as a submodule and its weights are not saved twice.
        self._embedding = (embedding or EmbeddingNetwork(),)
        self.specifications = powerset_specifications(WINDOW_S, MAX_SPEAKERS, MAX_SIMULTANEOUS)
        n_inputs = hidden + self._embedding[0].dimension
        n_sets = Powerset(MAX_SPEAKERS, MAX_SIMULTANEOUS).num_powerset_classes
        self.first = nn.Sequential(
            nn.Conv1d(FEATURES.n_mels, hidden, 5, stride=STRIDE, padding=2), nn.ReLU(), nn.BatchNorm1d(hidden)
        )
        self.recurrent = nn.LSTM(n_inputs, hidden, layers, batch_first=True, bidirectional=True)
        self.classifier = nn.Linear(2 * hidden, n_sets)

    @property
    def embedding(self) -> EmbeddingNetwork:
        return self._embedding[0]

    def _apply(self, fn: Any, recurse: bool = True) -> SegmentationNetwork:
        self.embedding._apply(fn, recurse)  # moves to the device with this network
        return super()._apply(fn, recurse)

    def forward(self, waveforms: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """`(batch, 1, n_samples)` to log-probabilities `(batch, n_frames, n_sets)`."""
        mels = self.embedding.spectrum(waveforms[:, 0])  # (batch, n_mels, STRIDE * n_frames)
        with torch.no_grad():
            local = self.embedding.local_embeddings(self.embedding.frames_of_mels(mels))
        return self.segment(mels, local)

    def segment(self, mels: torch.Tensor, local: torch.Tensor) -> torch.Tensor:
        """Log-mels `(batch, n_mels, STRIDE * n_frames)` and local embeddings `(batch, dimension, n_frames)` to
        log-probabilities `(batch, n_frames, n_sets)`."""
        # (batch, n_frames, hidden + dimension)
        inputs = torch.cat([self.first(mels)[..., : local.shape[-1]], 4.0 * local], dim=1).transpose(1, 2)
        recurrent, _ = self.recurrent(inputs)  # (batch, n_frames, 2 * hidden)
        return self.classifier(recurrent).log_softmax(dim=-1)

    def num_frames(self, num_samples: int) -> int:
        return num_samples // FRAME_SAMPLES

    def receptive_field_size(self, num_frames: int = 1) -> int:
        """Samples of `num_frames`: frames do not overlap."""
        return num_frames * FRAME_SAMPLES

    def receptive_field_center(self, frame: int = 0) -> float:
        return frame * FRAME_SAMPLES + (FRAME_SAMPLES - 1) / 2
