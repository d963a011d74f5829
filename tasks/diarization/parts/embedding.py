"""Speaker embedding networks as models of pyannote's pipeline, whatever runs them.

The pipeline asks for the embedding of one speaker in a window in which others speak too. The network gets the frames of
that speaker alone, joined: one with context, such as CAM++, would otherwise hear the others in the mean of the window.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from pyannote.audio import Model
from pyannote.audio.core.task import Problem, Resolution, Specifications
from torch import nn
from torchaudio.compliance.kaldi import fbank

from tasks.audio import SAMPLE_RATE_HZ
from tasks.diarization.parts.config import Input

N_MELS = 80
WINDOW_S = 10.0
MIN_SPEECH_S = 0.4  # shorter speech gets no embedding
WINDOW_TYPES = {Input.FBANK: "povey", Input.FBANK_HAMMING: "hamming"}

Network = Callable[[torch.Tensor], torch.Tensor]
"""Features `(1, n_frames, N_MELS)` or samples `(1, n_samples)` to an embedding `(1, dimension)`."""


class MaskedEmbedding(Model):
    """Embeddings of the frames in which a speaker is active."""

    def __init__(self, network: Network, takes: Input = Input.FBANK) -> None:
        super().__init__(sample_rate=SAMPLE_RATE_HZ, num_channels=1)
        self.network, self.takes = network, takes
        self.specifications = Specifications(
            problem=Problem.REPRESENTATION, resolution=Resolution.CHUNK, duration=WINDOW_S
        )
        with torch.inference_mode():
            self.dimension = int(self(torch.zeros(1, 1, SAMPLE_RATE_HZ)).shape[1])

    def forward(  # type: ignore[override]  # as upstream's own embedding networks
        self, waveforms: torch.Tensor, weights: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Embeddings `(batch, dimension)` of `waveforms`, `(batch, 1, n_samples)`; NaN for too little speech.

        `weights`, `(batch, n_weights)`, are the speaker's activity over time. The pipeline passes each of a window's
        speakers with the same waveform, one after the other: its features are computed once.
        """
        n_samples = waveforms.shape[-1]
        if weights is None:
            if n_samples < MIN_SPEECH_S * SAMPLE_RATE_HZ:
                raise ValueError("too short for an embedding")  # upstream finds the minimum by trial
            return torch.cat([self._embed(self._frames(waveform[0])) for waveform in waveforms])
        # (n_distinct, n_samples), (batch,)
        distinct, which = torch.unique_consecutive(waveforms[:, 0], dim=0, return_inverse=True)
        frames = torch.stack([self._frames(waveform) for waveform in distinct])  # (n_distinct, n_frames, …)
        masks = nn.functional.interpolate(weights[:, None], size=frames.shape[1], mode="nearest")[:, 0] > 0.5
        per_second = SAMPLE_RATE_HZ / n_samples * frames.shape[1]
        speech = [frames[index][mask] for index, mask in zip(which, masks, strict=True)]
        found = [self._embed(s) if len(s) >= MIN_SPEECH_S * per_second else None for s in speech]
        nothing = torch.full((1, self.dimension), torch.nan, device=waveforms.device)
        return torch.cat([nothing if embedding is None else embedding for embedding in found])

    def _frames(self, waveform: torch.Tensor) -> torch.Tensor:
        """Log-mels `(n_frames, N_MELS)` of a waveform `(n_samples,)`, or its samples."""
        if self.takes is Input.WAVEFORM:
            return waveform
        return fbank(
            waveform[None],
            num_mel_bins=N_MELS,
            sample_frequency=SAMPLE_RATE_HZ,
            window_type=WINDOW_TYPES[self.takes],
            dither=0.0,
        )

    def _embed(self, frames: torch.Tensor) -> torch.Tensor:
        if self.takes is not Input.WAVEFORM:
            frames = frames - frames.mean(dim=0)  # what the microphone adds to every frame
        return self.network(frames[None])
