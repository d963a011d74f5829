"""What an acoustic model offers to training, and which class serves a saved one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tasks.contract import InputRejected, Misconfigured, Reason
from training.data.shards import Utterance
from training.families.lora import merge_adapters
from training.family import MODEL_TYPES, Family

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from tasks.features.config import FeaturesConfig

WEIGHTS = frozenset({".safetensors", ".bin", ".pt", ".pth", ".msgpack", ".h5", ".onnx"})


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


def load_acoustic_model(folder: Path, device: str, language: str = "en") -> AcousticModel:
    """The model in `folder` (transformers' layout), in float32 and in training mode. `language` (BCP 47) is what a
    multilingual model is to write.

    Raises:
        InputRejected: no model can be loaded from there.
        Misconfigured: a family that cannot be trained here.
    """
    try:
        config = json.loads((folder / "config.json").read_bytes())
        model_type = str(config["model_type"])
    except (OSError, ValueError, KeyError) as error:
        raise InputRejected(
            f"no model in transformers' layout: {type(error).__name__}: {error}",
            reason=Reason.MODEL_NOT_FOUND,
            subject=str(folder),
            next_step="give a folder with config.json, model.safetensors, tokenizer and preprocessor_config.json",
        ) from None
    from transformers.utils import logging

    logging.disable_progress_bar()
    family = MODEL_TYPES.get(model_type)
    if family is None:
        raise Misconfigured(
            f"model type {model_type!r} cannot be fine-tuned",
            reason=Reason.INVALID_ARGUMENT,
            subject=str(folder),
            next_step="give a Parakeet or wav2vec2-BERT CTC model, or a Whisper",
        )
    if family is Family.WHISPER:
        from training.families.whisper import Whisper

        return Whisper(folder, device, language)
    from training.families.ctc import CtcModel

    return CtcModel(folder, device, family)


def save_acoustic_model(model: PreTrainedModel, base: Path, folder: Path) -> None:
    """`model` in transformers' layout: weights in the precision that the base was stored in, and the base's
    configuration, tokenizer and processor byte for byte, for fine-tuning changes none of them."""
    import copy

    import torch

    folder.mkdir(parents=True, exist_ok=True)
    for file in sorted(base.iterdir()):
        if file.is_file() and file.suffix not in WEIGHTS and not file.name.endswith(".index.json"):
            shutil.copyfile(file, folder / file.name)
    config = json.loads((base / "config.json").read_bytes())
    stored = config.get("dtype") or config.get("torch_dtype") or "float32"  # as it was called before transformers 5
    copied: Any = copy.deepcopy(model)
    merge_adapters(copied)
    copied.to("cpu", getattr(torch, stored)).save_pretrained(folder)
    shutil.copyfile(base / "config.json", folder / "config.json")
