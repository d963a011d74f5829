"""What an acoustic model offers to training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from tasks.contract import Reason
from training.data.shards import Utterance
from training.families.family import Family

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from tasks.features.config import FeaturesConfig


@dataclass(frozen=True)
class Batch:
    """Utterances as a model takes them."""

    features: torch.Tensor
    """`(batch, n_frames, n_mels)` float32, zeros behind."""
    n_frames: tuple[int, ...]
    labels: torch.Tensor
    """`(batch, n_labels)` int64, the family's own padding behind."""
    texts: tuple[str, ...]
    audio_s: float
    """Seconds of audio, padding not counted."""
    weight: int
    """Of how many things the loss is the mean: utterances, or tokens."""


class AcousticModel(Protocol):
    """One model under training."""

    family: Family
    module: PreTrainedModel
    network: torch.nn.Module
    """What the loss is computed with: the module, or what shares its gradients with other processes."""
    features: FeaturesConfig
    """What the model hears: a dataset of other features is none for it."""

    def rejects(self, text: str, duration_s: float) -> Reason | None:
        """Why an utterance can teach this model nothing, or None."""

    def collate(self, utterances: Sequence[Utterance]) -> Batch:
        """A batch on the CPU."""

    def loss(self, batch: Batch) -> torch.Tensor:
        """Mean loss, a scalar, with gradients."""

    def decode(self, batch: Batch) -> list[str]:
        """What the model reads in each utterance, greedily."""
