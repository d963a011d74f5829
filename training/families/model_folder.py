"""Load and save acoustic models as folders in transformers' layout."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.contract import Misconfigured, Reason
from tasks.models.folder import is_whisper, model_type
from training.families.acoustic import AcousticModel
from training.families.family import MODEL_TYPES, ModelFamily
from training.families.lora import merge_adapters

if TYPE_CHECKING:
    from transformers import PreTrainedModel

WEIGHT_SUFFIXES = frozenset({".safetensors", ".bin", ".pt", ".pth", ".msgpack", ".h5", ".onnx", ".nemo"})


def trainable_folder(folder: Path) -> Path:
    """Return a folder in transformers' layout with the model in `folder`, a Whisper in any layout or a CTC model."""
    if not is_whisper(folder):
        return folder
    from tasks.models.whisper.transformers_folder import complete_folder

    return complete_folder(folder)


def load_acoustic_model(folder: Path, device: str, language: str = "en") -> AcousticModel:
    """Load the model in `folder` (transformers' layout) in float32 and training mode.

    `language` (BCP 47) is the language in which a multilingual model transcribes.

    Raises:
        InputRejected: there is no loadable model in `folder`.
        Misconfigured: the family cannot be fine-tuned.
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
            next_step="use a Parakeet CTC, wav2vec2-BERT CTC or Whisper model",
        )
    if family is ModelFamily.WHISPER:
        from training.families.whisper import Whisper

        return Whisper(folder, device, language)
    from training.families.ctc import CtcModel

    return CtcModel(folder, device, family)


def save_acoustic_model(model: PreTrainedModel, base: Path, folder: Path, tuned_share: float = 1.0) -> None:
    """Save `model` in transformers' layout, in the precision of the base's weights.

    With a `tuned_share` below 1, weights lie between the base's and the tuned ones (WiSE-FT; M. Wortsman et al.,
    "Robust fine-tuning of zero-shot models", CVPR 2022).

    Configuration, tokenizer and processor are copied from the base byte for byte: fine-tuning changes none of them.
    """
    import copy

    import torch

    folder.mkdir(parents=True, exist_ok=True)
    for file in sorted(base.iterdir()):
        if file.is_file() and file.suffix not in WEIGHT_SUFFIXES and not file.name.endswith(".index.json"):
            shutil.copyfile(file, folder / file.name)
    config = json.loads((base / "config.json").read_bytes())
    stored = config.get("dtype") or config.get("torch_dtype") or "float32"  # the name before transformers 5
    copied: Any = copy.deepcopy(model)
    merge_adapters(copied)
    if tuned_share < 1:
        _mix(copied, base, tuned_share)
    copied.to("cpu", getattr(torch, stored)).save_pretrained(folder)
    shutil.copyfile(base / "config.json", folder / "config.json")


def _mix(tuned: Any, base: Path, tuned_share: float) -> None:
    import torch

    original = type(tuned).from_pretrained(base, dtype=torch.float32, local_files_only=True).state_dict()
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():  # tied ones once
            parameter.copy_(torch.lerp(original[name].to(parameter.device), parameter, tuned_share))
