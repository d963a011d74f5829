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


class AcousticModel(Protocol):
    """One model under training."""

    family: str
    module: PreTrainedModel
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


def load_acoustic_model(folder: Path, device: str) -> AcousticModel:
    """The model in `folder` (transformers' layout), in float32 and in training mode.

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
    if model_type == "parakeet_ctc":
        from training.families.ctc import ParakeetCtc

        return ParakeetCtc(folder, device)
    if model_type == "whisper":
        from training.families.whisper import Whisper

        return Whisper(folder, device)
    raise Misconfigured(
        f"model type {model_type!r} cannot be fine-tuned",
        reason=Reason.INVALID_ARGUMENT,
        subject=str(folder),
        next_step="give a Parakeet CTC or a Whisper model",
    )


def save_acoustic_model(model: PreTrainedModel, base: Path, folder: Path) -> None:
    """`model` in transformers' layout: weights in the precision that the base was stored in, and the base's tokenizer
    and processor byte for byte, for fine-tuning changes neither."""
    import copy

    import torch

    folder.mkdir(parents=True, exist_ok=True)
    for file in sorted(base.iterdir()):
        if file.is_file() and file.suffix not in WEIGHTS and not file.name.endswith(".index.json"):
            shutil.copyfile(file, folder / file.name)
    stored = json.loads((base / "config.json").read_bytes()).get("dtype") or "float32"
    copied: Any = copy.deepcopy(model)
    merge_adapters(copied)
    copied.to("cpu", getattr(torch, stored)).save_pretrained(folder)
