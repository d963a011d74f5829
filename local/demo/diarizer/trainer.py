"""Trains the two networks, for a given number of steps each, on one thread."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from pyannote.audio.utils.powerset import Powerset
from torch import nn

from local.demo.diarizer.mixtures import Mixer, Window
from local.demo.diarizer.speakers import FRAME_SAMPLES as LABEL_SAMPLES
from local.demo.diarizer.speakers import Speaker
from local.demo.synthesis.augmentation import SoundBank
from tasks.audio import SAMPLE_RATE_HZ
from tasks.diarization.networks import (
    FRAME_SAMPLES,
    MAX_SIMULTANEOUS,
    MAX_SPEAKERS,
    N_WINDOW_FRAMES,
    EmbeddingNetwork,
    SegmentationNetwork,
)

CROP_S = (1.0, 3.2)
CROPS, WINDOWS = 64, 24  # in a batch
MARGIN, SCALE = 0.2, 30.0  # additive angular margin: J. Deng et al., CVPR 2019
WARMUP_STEPS = 50
LOG_EVERY = 25

Log = Callable[[str, int, float, float], None]
"""Name of the network, steps, seconds, mean loss since the last call."""


def learning_rate(step: int, n_steps: int, peak: float) -> float:
    """Linear warm-up, then a cosine to nearly nothing."""
    cosine = 0.5 * (1 + math.cos(math.pi * step / n_steps))
    return peak * min(1.0, (step + 1) / WARMUP_STEPS) * max(cosine, 0.01)


def descend(
    network: nn.Module, parameters: list[nn.Parameter], loss_of: Callable[[int], torch.Tensor], n_steps: int, log: Log
) -> None:
    """AdamW over `n_steps` of `loss_of(step)`."""
    optimizer = torch.optim.AdamW(parameters, lr=2e-3, weight_decay=0.01, fused=True)
    began, losses = time.monotonic(), []
    for step in range(n_steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, n_steps, 2e-3)
        loss = loss_of(step)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 2.0)
        optimizer.step()
        losses.append(loss.item())
        if (step + 1) % LOG_EVERY == 0 or step + 1 == n_steps:
            log(type(network).__name__, step + 1, time.monotonic() - began, float(np.mean(losses)))
            losses.clear()


def train_embedding(
    network: EmbeddingNetwork, speakers: Sequence[Speaker], bank: SoundBank, n_steps: int, seed: int, log: Log
) -> None:
    """Learn to name the speaker of a crop, in place; the margin grows over the first half."""
    mixer = Mixer(speakers, bank, np.random.default_rng([seed, 1]))
    rng = np.random.default_rng([seed, 2])
    torch.manual_seed(seed)
    centres = nn.Parameter(torch.randn(len(speakers), network.dimension) / network.dimension**0.5)

    def loss_of(step: int) -> torch.Tensor:
        named = rng.choice(len(speakers), size=CROPS, replace=len(speakers) < CROPS)
        n_samples = int(rng.uniform(*CROP_S) * SAMPLE_RATE_HZ) // FRAME_SAMPLES * FRAME_SAMPLES
        crops = torch.from_numpy(np.stack([mixer.crop(int(speaker), n_samples) for speaker in named]))
        embeddings = nn.functional.normalize(network(crops[:, None]), dim=-1)
        cosines = embeddings @ nn.functional.normalize(centres, dim=-1).T
        labels = torch.from_numpy(named)
        return angular_loss(cosines, labels, MARGIN * min(1.0, 2 * step / n_steps))

    network.train()
    descend(network, [*network.parameters(), centres], loss_of, n_steps, log)
    network.eval()


def angular_loss(cosines: torch.Tensor, labels: torch.Tensor, margin: float) -> torch.Tensor:
    """Cross entropy in which the right class must be nearer by `margin` radians; cosines `(batch, n_classes)`."""
    right = cosines.gather(1, labels[:, None]).clamp(-1 + 1e-6, 1 - 1e-6)
    narrowed = torch.cos(torch.acos(right) + margin)
    return nn.functional.cross_entropy(SCALE * cosines.scatter(1, labels[:, None], narrowed), labels)


def train_segmentation(
    network: SegmentationNetwork, speakers: Sequence[Speaker], bank: SoundBank, n_steps: int, seed: int, log: Log
) -> None:
    """Learn who speaks when in mixtures, whatever the order of the speakers, in place. The embedding network stays."""
    mixer = Mixer(speakers, bank, np.random.default_rng([seed, 3]))
    powerset = Powerset(MAX_SPEAKERS, MAX_SIMULTANEOUS)
    torch.manual_seed(seed)
    n_samples = N_WINDOW_FRAMES * FRAME_SAMPLES

    def loss_of(_step: int) -> torch.Tensor:
        windows = [mixer.window(n_samples, MAX_SPEAKERS) for _ in range(WINDOWS)]
        waveforms = torch.from_numpy(np.stack([window.samples for window in windows]))
        return permutation_free(network(waveforms[:, None]), targets(windows), powerset)

    network.train()
    network.embedding.eval()
    descend(network, list(network.parameters()), loss_of, n_steps, log)
    network.eval()


def targets(windows: Sequence[Window]) -> torch.Tensor:
    """Who speaks in the middle of each of the network's frames, `(batch, n_frames, n_speakers)` float32."""
    middles = (np.arange(N_WINDOW_FRAMES) * FRAME_SAMPLES + FRAME_SAMPLES // 2) // LABEL_SAMPLES
    return torch.from_numpy(np.stack([window.activity[middles] for window in windows]).astype(np.float32))


def permutation_free(predicted: torch.Tensor, spoken: torch.Tensor, powerset: Powerset) -> torch.Tensor:
    """Negative log-likelihood under the best order of the speakers.

    `predicted`: log-probabilities `(batch, n_frames, n_sets)`; `spoken`: `(batch, n_frames, n_speakers)`.
    """
    losses = []
    for order in powerset.permutation_mapping:
        sets = powerset.to_powerset(spoken[..., list(order)]).argmax(dim=-1)  # (batch, n_frames)
        losses.append(-predicted.gather(-1, sets[..., None])[..., 0].mean(dim=1))
    return torch.stack(losses).amin(dim=0).mean()
