"""The interface of an acoustic model to training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from tasks.contract import Reason
from training.data.shards import TrainingUtterance
from training.families.family import ModelFamily

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from tasks.features.config import FeaturesConfig


@dataclass(frozen=True)
class PaddedBatch:
    """Utterances collated for a model, padded to the longest."""

    features: torch.Tensor
    """`(batch, n_frames, n_mels)` float32, padded with zeros."""
    n_frames: tuple[int, ...]
    labels: torch.Tensor
    """`(batch, n_labels)` int64, padded with the family's own value."""
    texts: tuple[str, ...]
    audio_s: float
    """Seconds of audio, padding not counted."""
    n_items: int
    """Number of items that the loss averages over: utterances or tokens."""
    decoder_inputs: torch.Tensor | None = None
    """`(batch, n_labels)` int64: the tokens that a decoder reads to predict the labels."""


class AcousticModel(Protocol):
    """One model under training."""

    family: ModelFamily
    module: PreTrainedModel
    network: torch.nn.Module
    """Computes the loss: the module itself, or DistributedDataParallel around it."""
    features: FeaturesConfig
    """The features that the model takes; a dataset with others is refused."""

    def rejection_reason(self, text: str, duration_s: float) -> Reason | None:
        """Return why an utterance cannot be trained on, or None."""

    def collate(self, utterances: Sequence[TrainingUtterance]) -> PaddedBatch:
        """Collate a padded batch on the CPU."""

    def loss(self, batch: PaddedBatch) -> torch.Tensor:
        """Compute the mean loss, a scalar with gradients."""

    def decode(self, batch: PaddedBatch) -> list[str]:
        """Decode each utterance greedily."""
