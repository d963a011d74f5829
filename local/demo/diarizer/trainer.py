"""Trains the two networks for a given number of steps, on one thread."""

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
CROPS, WINDOWS = 64, 24  # per batch
MARGIN, SCALE = 0.2, 30.0  # additive angular margin: J. Deng et al., CVPR 2019
WARMUP_STEPS = 50
LOG_EVERY = 25

Log = Callable[[str, int, float, float], None]
"""Called with the network's name, steps, seconds, and the mean loss since the last call."""


def learning_rate(step: int, n_steps: int, peak: float) -> float:
    """Linear warm-up, then a cosine down to 1 % of the peak."""
    cosine = 0.5 * (1 + math.cos(math.pi * step / n_steps))
    return peak * min(1.0, (step + 1) / WARMUP_STEPS) * max(cosine, 0.01)


def descend(
    network: nn.Module, parameters: list[nn.Parameter], loss_of: Callable[[int], torch.Tensor], n_steps: int, log: Log
) -> None:
    """Minimise `loss_of(step)` with AdamW for `n_steps`."""
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
    """Train the network, in place, to classify the speaker of a crop; the margin grows over the first half."""
    mixer = Mixer(speakers, bank, np.random.default_rng([seed, 1]))
    rng = np.random.default_rng([seed, 2])
    torch.manual_seed(seed)
    centres = nn.Parameter(torch.randn(len(speakers), network.dimension) / network.dimension**0.5)

    def loss_of(step: int) -> torch.Tensor:
        chosen = rng.choice(len(speakers), size=CROPS, replace=len(speakers) < CROPS)  # (batch,)
        n_samples = int(rng.uniform(*CROP_S) * SAMPLE_RATE_HZ) // FRAME_SAMPLES * FRAME_SAMPLES
        crops = torch.from_numpy(np.stack([mixer.crop(int(speaker), n_samples) for speaker in chosen]))
        embeddings = nn.functional.normalize(network(crops[:, None]), dim=-1)  # (batch, dimension)
        cosines = embeddings @ nn.functional.normalize(centres, dim=-1).T  # (batch, n_speakers)
        labels = torch.from_numpy(chosen)
        return angular_loss(cosines, labels, MARGIN * min(1.0, 2 * step / n_steps))

    network.train()
    descend(network, [*network.parameters(), centres], loss_of, n_steps, log)
    network.eval()


def angular_loss(cosines: torch.Tensor, labels: torch.Tensor, margin: float) -> torch.Tensor:
    """Cross entropy in which the true class must be closer by `margin` radians; cosines `(batch, n_classes)`."""
    right = cosines.gather(1, labels[:, None]).clamp(-1 + 1e-6, 1 - 1e-6)
    narrowed = torch.cos(torch.acos(right) + margin)
    return nn.functional.cross_entropy(SCALE * cosines.scatter(1, labels[:, None], narrowed), labels)


def train_segmentation(
    network: SegmentationNetwork, speakers: Sequence[Speaker], bank: SoundBank, n_steps: int, seed: int, log: Log
) -> None:
    """Train the network, in place, on who speaks when in mixtures, permutation-free. The embedding network stays."""
    mixer = Mixer(speakers, bank, np.random.default_rng([seed, 3]))
    powerset = Powerset(MAX_SPEAKERS, MAX_SIMULTANEOUS)
    torch.manual_seed(seed)
    n_samples = N_WINDOW_FRAMES * FRAME_SAMPLES

    def loss_of(_step: int) -> torch.Tensor:
        windows = [mixer.window(n_samples, MAX_SPEAKERS) for _ in range(WINDOWS)]
        waveforms = torch.from_numpy(np.stack([window.samples for window in windows]))  # (batch, n_samples)
        return permutation_free(network(waveforms[:, None]), targets(windows), powerset)

    network.train()
    network.embedding.eval()
    descend(network, list(network.parameters()), loss_of, n_steps, log)
    network.eval()


def targets(windows: Sequence[Window]) -> torch.Tensor:
    """The speakers active at the centre of each network frame, `(batch, n_frames, n_speakers)` float32."""
    middles = (np.arange(N_WINDOW_FRAMES) * FRAME_SAMPLES + FRAME_SAMPLES // 2) // LABEL_SAMPLES
    return torch.from_numpy(np.stack([window.activity[middles] for window in windows]).astype(np.float32))


def permutation_free(predicted: torch.Tensor, spoken: torch.Tensor, powerset: Powerset) -> torch.Tensor:
    """Negative log-likelihood under the best permutation of the speakers.

    `predicted`: log-probabilities `(batch, n_frames, n_sets)`; `spoken`: `(batch, n_frames, n_speakers)`.
    """
    losses = []
    for order in powerset.permutation_mapping:
        sets = powerset.to_powerset(spoken[..., list(order)]).argmax(dim=-1)  # (batch, n_frames)
        losses.append(-predicted.gather(-1, sets[..., None])[..., 0].mean(dim=1))
    return torch.stack(losses).amin(dim=0).mean()  # (n_permutations, batch) to the best of each window
