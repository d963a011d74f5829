"""The embedded diarizer: our two networks in pyannote's pipeline, from a folder of safetensors.

config.json                the networks' sizes, and how the pipeline clusters
embedding.safetensors
segmentation.safetensors
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from pyannote.audio.core.plda import PLDA
from pyannote.audio.pipelines import SpeakerDiarization
from pyannote.core import SlidingWindow, SlidingWindowFeature
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from tasks.contract import Frozen, InputRejected, Reason
from tasks.diarization.clustering import EvidenceClustering
from tasks.diarization.networks import FRAME_SAMPLES, EmbeddingNetwork, SegmentationNetwork

CONFIG_NAME = "config.json"
GLIMPSE_FRAMES, GLIMPSE_STEP = 60, 12  # of segmentation: 2.4 s, every 0.48 s


class EmbeddedConfig(Frozen):
    """`config.json`."""

    model_type: str = "airscript-diarizer"
    channels: int = 128
    dimension: int = 96
    hidden: int = 64
    layers: int = 2
    step: float = 0.2
    """Windows begin after each other by this share of a window."""
    threshold: float = 0.6
    """Distance on the unit sphere below which two voices that are known well are one speaker's."""
    min_pause_s: float = 0.5
    """A speaker's shorter pauses are no pauses; those between a transcript's turns are as long."""


class GlimpseDiarization(SpeakerDiarization):
    """pyannote's pipeline, but voices are told apart over short stretches of one speaker each.

    Networks that learned from little speech hear well where somebody speaks, and within seconds where another begins;
    whether it is the same person after a pause, the embedding knows better than the segmentation. Clustering what
    segmentation takes for one person in 10 s gave 51 % DER on talks of human readers put together.
    """

    def get_segmentations(self, file: Any, hook: Any = None) -> SlidingWindowFeature:
        """Speech in overlapping glimpses, `(n_glimpses, n_frames, 2)`: of whom the window around says it is most."""
        windows = super().get_segmentations(file, hook=hook)  # (n_windows, n_frames, n_speakers)
        frames = self._segmentation.model.receptive_field
        n_heard = -(-file["waveform"].shape[1] // FRAME_SAMPLES)  # the last window reaches beyond the end
        speech = self.speaker_count(windows, frames, warm_up=(0.0, 0.0)).data[:n_heard, 0] > 0
        window_step = round(windows.sliding_window.step / frames.step)
        # A microsecond late: upstream rounds times down to samples, and some glimpses would be one sample longer.
        grid = SlidingWindow(start=1e-6, duration=GLIMPSE_FRAMES * frames.step, step=GLIMPSE_STEP * frames.step)
        return SlidingWindowFeature(glimpses(windows.data, window_step, speech), grid)


def glimpses(windows: np.ndarray, window_step: int, speech: np.ndarray) -> np.ndarray:
    """`(n_glimpses, GLIMPSE_FRAMES, 2)` float32 of windows `(n_windows, n_frames, n_speakers)` and speech `(n_heard,)`.

    A glimpse is seen by the window in whose middle it lies. Of its speakers the two who talk most are kept; where only
    other windows hear speech it is the first's.
    """
    n_glimpses = max(1, -(-(len(speech) - GLIMPSE_FRAMES) // GLIMPSE_STEP) + 1)
    found = np.zeros((n_glimpses, GLIMPSE_FRAMES, 2), dtype=np.float32)
    for number in range(n_glimpses):
        start = number * GLIMPSE_STEP
        heard = speech[start : start + GLIMPSE_FRAMES]
        middle = start + GLIMPSE_FRAMES // 2 - windows.shape[1] // 2
        window = min(max(round(middle / window_step), 0), len(windows) - 1)
        seen = windows[window, start - window * window_step :][: len(heard)] > 0.5  # (n_frames, n_speakers)
        seen = np.pad(seen, ((0, len(heard) - len(seen)), (0, 0)))
        first, second = np.argsort(-seen.sum(axis=0), kind="stable")[:2]
        found[number, : len(heard), 0] = heard & (seen[:, first] | ~seen[:, second])
        found[number, : len(heard), 1] = heard & seen[:, second]
    return found


class NoPLDA(PLDA):
    """The pipeline wants one even where its clustering knows none, and would download it."""

    def __init__(self) -> None: ...


def load_embedded(folder: Path) -> SpeakerDiarization:
    """The pipeline with the networks of a folder.

    Raises:
        InputRejected: CORRUPT: a file is missing or is not what it should be.
    """
    try:
        config = EmbeddedConfig.model_validate_json((folder / CONFIG_NAME).read_bytes())
        embedding, segmentation = load_networks(folder, config)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise InputRejected(
            f"no diarizer that can be loaded: {type(error).__name__}: {error}",
            reason=Reason.CORRUPT,
            subject=str(folder),
            next_step="make it again: python -m local.demo.diarizer",
        ) from None
    return pipeline_of(embedding, segmentation, config)


def load_networks(folder: Path, config: EmbeddedConfig) -> tuple[EmbeddingNetwork, SegmentationNetwork]:
    """The two networks with the weights of a folder."""
    embedding = make_embedding(config)
    segmentation = make_segmentation(embedding, config)
    for name, network in (("embedding", embedding), ("segmentation", segmentation)):
        network.load_state_dict(load_file(folder / f"{name}.safetensors"))
    return embedding, segmentation


def make_embedding(config: EmbeddedConfig) -> EmbeddingNetwork:
    """Random weights."""
    return EmbeddingNetwork(channels=config.channels, dimension=config.dimension)


def make_segmentation(embedding: EmbeddingNetwork, config: EmbeddedConfig) -> SegmentationNetwork:
    """Random weights, but for the embedding network that it looks through."""
    return SegmentationNetwork(embedding=embedding, hidden=config.hidden, layers=config.layers)


def pipeline_of(
    embedding: EmbeddingNetwork, segmentation: SegmentationNetwork, config: EmbeddedConfig
) -> SpeakerDiarization:
    """pyannote's pipeline around two networks."""
    pipeline = GlimpseDiarization(
        segmentation=segmentation,
        segmentation_step=config.step,
        embedding=embedding,
        plda=NoPLDA(),
        clustering="AgglomerativeClustering",
    )
    pipeline.clustering = EvidenceClustering()
    clustering = {"threshold": config.threshold}
    pipeline.instantiate({"clustering": clustering, "segmentation": {"min_duration_off": config.min_pause_s}})
    return pipeline


def save_embedded(
    embedding: EmbeddingNetwork, segmentation: SegmentationNetwork, config: EmbeddedConfig, folder: Path
) -> None:
    """Write the folder, weights in float16."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, network in (("embedding", embedding), ("segmentation", segmentation)):
        halved = {
            key: value.half().contiguous() if value.dtype == torch.float32 else value.contiguous()
            for key, value in network.state_dict().items()
        }
        save_file(halved, folder / f"{name}.safetensors")
    (folder / CONFIG_NAME).write_text(config.model_dump_json(indent=2) + "\n")
