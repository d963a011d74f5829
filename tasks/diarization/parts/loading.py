"""Loading the pipeline of a folder with a segmentation and an embedding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tasks.contract import InputRejected, Misconfigured, Reason
from tasks.diarization.clustering import EvidenceClustering
from tasks.diarization.embedded import NoPLDA
from tasks.diarization.parts.config import ClusteringConfig, EmbeddingKind, PartsConfig
from tasks.diarization.parts.networks import load_embedding, load_segmentation
from tasks.diarization.short_chunks import ShortChunkDiarization

CHUNK_STEP_S = 0.6
MIN_PAUSE_S = 0.25  # shorter pauses of a speaker are filled
# CAM++: on 28 composed talks of one to six of 150 people, in studios, in rooms with noise, and of one voice at 0.7 to
# 1.15 times its speed or pitch, the number of speakers is right in all, and 1.3 % of speech is given to another
# speaker. On 28 talks of other people it is right in 26 (2.2 %). On 20 of the first it is right in 20, against 15 at
# 0.7, 19 at 0.75, 18 at 0.85 and 0.9, and 18 by average linkage of cosines at its best threshold.
TUNED = {EmbeddingKind.CAMPPLUS: ClusteringConfig(threshold=0.8, half_evidence=2.0)}


def load_parts(folder: Path, config: dict[str, Any]) -> ShortChunkDiarization:
    """Load the pipeline that `config`, the content of `config.yaml`, describes.

    Raises:
        InputRejected: CORRUPT: a file is missing, or is not what the configuration says.
        Misconfigured: the configuration is invalid, or has no threshold for an embedding of a kind without one.
    """
    try:
        parts = PartsConfig.model_validate(config)
    except ValidationError as error:
        first = error.errors()[0]
        message = f"config.yaml: {'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise _misconfigured(folder, message, "docs/operating.md lists the fields") from None
    clustering = parts.clustering or TUNED.get(parts.embedding.kind)
    if clustering is None:
        raise _misconfigured(
            folder,
            f"config.yaml has no clustering.threshold, and none is known for {parts.embedding.kind} embeddings",
            "measure one with `python -m local.demo.diarizer.parts FOLDER --speech DIR`, or give one (0.6 to 1.0)",
        )
    try:
        pipeline = ShortChunkDiarization(
            CHUNK_STEP_S,
            segmentation=load_segmentation(folder, parts.segmentation),
            segmentation_step=parts.step,
            embedding=load_embedding(folder, parts.embedding),
            embedding_exclude_overlap=True,
            plda=NoPLDA(),
            clustering="AgglomerativeClustering",
        )
    except FileNotFoundError as error:
        raise _corrupt(folder, f"{error.filename} is missing") from None
    except Exception as error:  # unpickling, TorchScript and ONNX Runtime have no common base
        raise _corrupt(folder, f"{type(error).__name__}: {error}") from None
    pipeline.clustering = EvidenceClustering(clustering.half_evidence, constrained_assignment=True)
    parameters = {"threshold": clustering.threshold}
    pipeline.instantiate({"clustering": parameters, "segmentation": {"min_duration_off": MIN_PAUSE_S}})
    return pipeline


def _misconfigured(folder: Path, message: str, next_step: str) -> Misconfigured:
    return Misconfigured(message, reason=Reason.INVALID_ARGUMENT, subject=str(folder), next_step=next_step)


def _corrupt(folder: Path, message: str) -> InputRejected:
    return InputRejected(
        message,
        reason=Reason.CORRUPT,
        subject=str(folder),
        next_step="check the files and their kinds in config.yaml, or copy the whole folder again",
    )
