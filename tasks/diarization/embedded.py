"""The embedded diarizer: two small networks in pyannote's pipeline, from a folder of safetensors.

config.json                the networks' sizes and the pipeline's parameters
embedding.safetensors
segmentation.safetensors
"""

from __future__ import annotations

from pathlib import Path

import torch
from pyannote.audio.core.plda import PLDA
from pyannote.audio.pipelines import SpeakerDiarization
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from tasks.contract import Frozen, InputRejected, Reason
from tasks.diarization.clustering import EvidenceClustering
from tasks.diarization.networks import EmbeddingNetwork, SegmentationNetwork
from tasks.diarization.short_chunks import ShortChunkDiarization

CONFIG_NAME = "config.json"
CHUNK_STEP_S = 0.48


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
        CHUNK_STEP_S,
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
