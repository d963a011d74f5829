"""The embedded diarizer: two small networks in pyannote's pipeline, from a folder of safetensors.

config.json                the networks' sizes and the pipeline's parameters
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
CHUNK_FRAMES, CHUNK_STEP = 60, 12  # in segmentation frames: 2.4 s, every 0.48 s


class EmbeddedConfig(Frozen):
    """`config.json`."""

    model_type: str = "airscript-diarizer"
    channels: int = 128
    dimension: int = 96
    hidden: int = 64
    layers: int = 2
    step: float = 0.2
    """Step between segmentation windows, as a share of a window."""
    threshold: float = 0.6
    """Distance on the unit sphere below which two large clusters are one speaker."""
    min_pause_s: float = 0.5
    """Shorter pauses of a speaker are filled. A transcript's turns end at pauses of the same length."""


class ShortChunkDiarization(SpeakerDiarization):
    """pyannote's pipeline, with embeddings of short chunks instead of whole segmentation windows.

    Networks trained on little speech detect well where there is speech, and within seconds where another speaker
    begins; whether it is the same speaker after a pause, the embedding decides better than the segmentation. Clustering
    embeddings of the segmentation's speakers in 10 s gave 51 % DER on talks concatenated from human readers.
    """

    def get_segmentations(self, file: Any, hook: Any = None) -> SlidingWindowFeature:
        """The two most active speakers in overlapping short chunks, `(num_chunks, CHUNK_FRAMES, 2)`."""
        windows = super().get_segmentations(file, hook=hook)  # (num_windows, num_frames, num_speakers)
        frames = self._segmentation.model.receptive_field
        n_frames = -(-file["waveform"].shape[1] // FRAME_SAMPLES)  # the last window extends beyond the end
        speech = self.speaker_count(windows, frames, warm_up=(0.0, 0.0)).data[:n_frames, 0] > 0  # (n_frames,)
        window_step = round(windows.sliding_window.step / frames.step)
        # Starts 1 µs late: upstream rounds times down to samples, and some chunks would be one sample longer.
        grid = SlidingWindow(start=1e-6, duration=CHUNK_FRAMES * frames.step, step=CHUNK_STEP * frames.step)
        return SlidingWindowFeature(short_chunks(windows.data, window_step, speech), grid)


def short_chunks(windows: np.ndarray, window_step: int, speech: np.ndarray) -> np.ndarray:
    """Short chunks `(num_chunks, CHUNK_FRAMES, 2)` float32 from windows `(num_windows, num_frames, num_speakers)` and
    the programme's speech `(n_frames,)`.

    A chunk is taken from the window whose middle is nearest to the chunk's. The two most active speakers are kept;
    frames in which only other windows detect speech go to the first of them.
    """
    num_chunks = max(1, -(-(len(speech) - CHUNK_FRAMES) // CHUNK_STEP) + 1)
    chunks = np.zeros((num_chunks, CHUNK_FRAMES, 2), dtype=np.float32)
    for chunk_index in range(num_chunks):
        start = chunk_index * CHUNK_STEP
        is_speech = speech[start : start + CHUNK_FRAMES]  # (num_frames,), CHUNK_FRAMES but at the end
        middle = start + CHUNK_FRAMES // 2 - windows.shape[1] // 2
        window = min(max(round(middle / window_step), 0), len(windows) - 1)
        active = windows[window, start - window * window_step :][: len(is_speech)] > 0.5  # (num_frames, num_speakers)
        active = np.pad(active, ((0, len(is_speech) - len(active)), (0, 0)))
        first, second = np.argsort(-active.sum(axis=0), kind="stable")[:2]
        chunks[chunk_index, : len(is_speech), 0] = is_speech & (active[:, first] | ~active[:, second])
        chunks[chunk_index, : len(is_speech), 1] = is_speech & active[:, second]
    return chunks


class NoPLDA(PLDA):
    """An empty PLDA: the pipeline requires one even if its clustering uses none, and would download it."""

    def __init__(self) -> None: ...


def load_embedded(folder: Path) -> SpeakerDiarization:
    """Load the pipeline with the networks of a folder.

    Raises:
        InputRejected: CORRUPT: a file is missing or invalid.
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
    """Load the two networks from a folder."""
    embedding = make_embedding(config)
    segmentation = make_segmentation(embedding, config)
    for name, network in (("embedding", embedding), ("segmentation", segmentation)):
        network.load_state_dict(load_file(folder / f"{name}.safetensors"))
    return embedding, segmentation


def make_embedding(config: EmbeddedConfig) -> EmbeddingNetwork:
    """An embedding network with random weights."""
    return EmbeddingNetwork(channels=config.channels, dimension=config.dimension)


def make_segmentation(embedding: EmbeddingNetwork, config: EmbeddedConfig) -> SegmentationNetwork:
    """A segmentation network with random weights around a given embedding network."""
    return SegmentationNetwork(embedding=embedding, hidden=config.hidden, layers=config.layers)


def pipeline_of(
    embedding: EmbeddingNetwork, segmentation: SegmentationNetwork, config: EmbeddedConfig
) -> SpeakerDiarization:
    """pyannote's pipeline around two networks."""
    pipeline = ShortChunkDiarization(
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
    """Write the folder, with weights in float16."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, network in (("embedding", embedding), ("segmentation", segmentation)):
        halved = {
            key: value.half().contiguous() if value.dtype == torch.float32 else value.contiguous()
            for key, value in network.state_dict().items()
        }
        save_file(halved, folder / f"{name}.safetensors")
    (folder / CONFIG_NAME).write_text(config.model_dump_json(indent=2) + "\n")
