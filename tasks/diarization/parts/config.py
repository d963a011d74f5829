"""`config.yaml` of a diarizer given in parts.

segmentation: {kind: powerset, path: segmentation-3.0.pt}
embedding: {kind: campplus, path: campplus-zh-en.pt}
clustering: {threshold: 0.7}        # optional for kinds with tuned parameters
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, Field

from tasks.contract import Frozen


def _inside(path: str) -> str:
    if not path or PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise ValueError(f"{path!r} is not a path below the folder of config.yaml")
    return path


InsidePath = Annotated[str, AfterValidator(_inside)]


class SegmentationKind(StrEnum):
    POWERSET = "powerset"
    """A state dictionary of pyannote's PyanNet with powerset classes, as segmentation-3.0."""
    PYANNOTE = "pyannote"
    """A folder of pyannote's, with `pytorch_model.bin`."""


class EmbeddingKind(StrEnum):
    CAMPPLUS = "campplus"
    """The state dictionary of 3D-Speaker's CAM++ (zh/en, 192 dimensions)."""
    PYANNOTE = "pyannote"
    """A folder of pyannote's, with `pytorch_model.bin`: WeSpeaker's ResNets and others."""
    ONNX = "onnx"
    TORCHSCRIPT = "torchscript"


class Input(StrEnum):
    """What an ONNX or TorchScript network takes."""

    FBANK = "fbank"
    """80 log-mels in Povey's window, `(batch, n_frames, 80)`: 3D-Speaker."""
    FBANK_HAMMING = "fbank-hamming"
    """The same in Hamming's window: WeSpeaker."""
    WAVEFORM = "waveform"
    """Samples between -1 and 1, `(batch, n_samples)`."""


class SegmentationPart(Frozen):
    kind: SegmentationKind
    path: InsidePath


class EmbeddingPart(Frozen):
    kind: EmbeddingKind
    path: InsidePath
    input: Input = Input.FBANK


class ClusteringConfig(Frozen):
    """When two groups of embeddings are one speaker (`tasks.diarization.clustering`)."""

    threshold: float = Field(gt=0, le=2)
    """Distance on the unit sphere below which two large groups are one speaker."""
    half_evidence: float = Field(default=2.0, ge=0)
    """Embeddings, one every 0.6 s, at which the evidence for a group is half of its maximum."""


class PartsConfig(Frozen):
    """`config.yaml`."""

    segmentation: SegmentationPart
    embedding: EmbeddingPart
    step: float = Field(default=0.2, gt=0, le=1)
    """Step between segmentation windows, as a share of a window."""
    clustering: ClusteringConfig | None = None
    """None: the parameters that were tuned for the kind of embedding."""
