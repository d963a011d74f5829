"""Acoustic models in folders of transformers' layout: loaded, by the class that serves them, and saved."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.contract import Misconfigured, Reason
from tasks.models import model_type
from training.families.acoustic import AcousticModel
from training.families.family import MODEL_TYPES, Family
from training.families.lora import merge_adapters

if TYPE_CHECKING:
    from transformers import PreTrainedModel

WEIGHTS = frozenset({".safetensors", ".bin", ".pt", ".pth", ".msgpack", ".h5", ".onnx", ".nemo"})


def load_acoustic_model(folder: Path, device: str, language: str = "en") -> AcousticModel:
    """The model in `folder` (transformers' layout), in float32 and in training mode. `language` (BCP 47) is what a
    multilingual model is to write.

    Raises:
        InputRejected: no model can be loaded from there.
        Misconfigured: a family that cannot be trained here.
    """
    found = model_type(folder)
    from transformers.utils import logging

    logging.disable_progress_bar()
    family = MODEL_TYPES.get(found)
    if family is None:
        raise Misconfigured(
            f"model type {found!r} cannot be fine-tuned",
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
