"""The embedded diarizer's two networks, in the form that pyannote.audio's pipelines ask for.

Both see the same log-mel frames, 50 a second. The embedding network is a small residual TDNN with statistics pooling
(x-vector: D. Snyder et al., ICASSP 2018). The segmentation network follows pyannote's powerset segmentation (A. Plaquet
and H. Bredin, Interspeech 2023) and sees, beside the spectrum, what the embedding network makes of each second: telling
voices apart within a window is then easy to learn, also from little speech.
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
WINDOW_S = 10.0  # what segmentation sees at once
STRIDE = 2  # frames of features per frame of segmentation
FRAME_SAMPLES = STRIDE * FEATURES.hop_samples  # 40 ms
N_WINDOW_FRAMES = int(WINDOW_S * SAMPLE_RATE_HZ) // FRAME_SAMPLES
SHORTEST_S = 0.5  # of speech to tell a voice by
MAX_SPEAKERS = 3  # told apart in one window
MAX_AT_ONCE = 2
GLANCE_FRAMES = 51  # frames of features, a second, over which segmentation looks at a voice


class Spectrum(nn.Module):
    """Waveforms `(batch, n_samples)` to log-mels `(batch, n_mels, n_frames)` whose mean is zero: level says nothing."""

    def __init__(self) -> None:
        super().__init__()
        self._extractors: dict[torch.device, LogMel] = {}

    def forward(self, waveforms: torch.Tensor) -> torch.Tensor:
        device = waveforms.device
        logmel = self._extractors.setdefault(device, LogMel(FEATURES, device))
        mels = torch.stack(logmel(list(waveforms))).transpose(1, 2)
        return (mels - mels.mean(dim=(1, 2), keepdim=True)) / 4.0


class Residual(nn.Module):
    """A dilated convolution over time beside a short cut, `(batch, channels, n_frames)` in and out."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(channels, channels, 3, padding=dilation, dilation=dilation)
        self.norm = nn.BatchNorm1d(channels)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return frames + self.norm(torch.relu(self.convolution(frames)))


class EmbeddingNetwork(Model):
    """Voices as vectors: one speaker's are near each other by cosine."""

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

        `weights`, `(batch, n_weights)`, say when the speaker talks. The pipeline asks for each of a window's speakers
        with the same waveform, one after the other: its frames are computed once.
        """
        if weights is None:
            if waveforms.shape[-1] < SHORTEST_S * SAMPLE_RATE_HZ:
                raise ValueError("too short to tell a voice by")  # upstream finds by trying how much is needed
            return self.projection(self.pool(self.frames(waveforms[:, 0])))
        distinct, which = torch.unique_consecutive(waveforms[:, 0], dim=0, return_inverse=True)
        return self.projection(self.pool(self.frames(distinct)[which], weights=weights))

    def frames(self, waveforms: torch.Tensor) -> torch.Tensor:
        """What pooling sees, `(batch, 2 * channels, n_frames)`, of waveforms `(batch, n_samples)`."""
        return self.of_spectrum(self.spectrum(waveforms))

    def of_spectrum(self, mels: torch.Tensor) -> torch.Tensor:
        return self.last(self.blocks(self.first(mels)))

    def glances(self, frames: torch.Tensor) -> torch.Tensor:
        """Embeddings of unit length of the second around every other frame, `(batch, dimension, n_frames / 2)`."""
        pooled = [
            nn.functional.avg_pool1d(x, GLANCE_FRAMES, STRIDE, GLANCE_FRAMES // 2, count_include_pad=False)
            for x in (frames, frames.square())
        ]
        mean, square = pooled
        deviation = (square - mean.square()).clamp(min=1e-6).sqrt()
        embeddings = self.projection(torch.cat([mean, deviation], dim=1).transpose(1, 2))
        return nn.functional.normalize(embeddings, dim=-1).transpose(1, 2)


class SegmentationNetwork(Model):
    """Which of at most three speakers talk in each 40 ms of a window, as log-probabilities of their sets."""

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
        # In a tuple, so that its weights are not counted and saved twice.
        self._embedding = (embedding or EmbeddingNetwork(),)
        self.specifications = Specifications(
            problem=Problem.MONO_LABEL_CLASSIFICATION,
            resolution=Resolution.FRAME,
            duration=WINDOW_S,
            classes=[f"speaker {n}" for n in range(1, MAX_SPEAKERS + 1)],
            powerset_max_classes=MAX_AT_ONCE,
            permutation_invariant=True,
        )
        n_seen = hidden + self._embedding[0].dimension
        n_sets = Powerset(MAX_SPEAKERS, MAX_AT_ONCE).num_powerset_classes
        self.first = nn.Sequential(
            nn.Conv1d(FEATURES.n_mels, hidden, 5, stride=STRIDE, padding=2), nn.ReLU(), nn.BatchNorm1d(hidden)
        )
        self.recurrent = nn.LSTM(n_seen, hidden, layers, batch_first=True, bidirectional=True)
        self.classifier = nn.Linear(2 * hidden, n_sets)

    @property
    def embedding(self) -> EmbeddingNetwork:
        return self._embedding[0]

    def _apply(self, fn: Any, recurse: bool = True) -> SegmentationNetwork:
        self.embedding._apply(fn, recurse)  # it moves to a device with its user
        return super()._apply(fn, recurse)

    def forward(self, waveforms: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """`(batch, 1, n_samples)` to log-probabilities `(batch, n_frames, n_sets)`."""
        mels = self.embedding.spectrum(waveforms[:, 0])
        with torch.no_grad():
            voices = self.embedding.glances(self.embedding.of_spectrum(mels))
        return self.of_spectrum(mels, voices)

    def of_spectrum(self, mels: torch.Tensor, voices: torch.Tensor) -> torch.Tensor:
        """The same from log-mels `(batch, n_mels, n_features)` and glances `(batch, dimension, n_frames)`."""
        seen = torch.cat([self.first(mels)[..., : voices.shape[-1]], 4.0 * voices], dim=1).transpose(1, 2)
        recurrent, _ = self.recurrent(seen)
        return self.classifier(recurrent).log_softmax(dim=-1)

    def num_frames(self, num_samples: int) -> int:
        return num_samples // FRAME_SAMPLES

    def receptive_field_size(self, num_frames: int = 1) -> int:
        """Samples that `num_frames` stand for: frames lie side by side."""
        return num_frames * FRAME_SAMPLES

    def receptive_field_center(self, frame: int = 0) -> float:
        return frame * FRAME_SAMPLES + (FRAME_SAMPLES - 1) / 2
