"""What a model's folder holds: the kind of model, and settings that several layouts keep in different files."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from tasks.contract import InputRejected, Reason

CTRANSLATE2_FOLDER = "ctranslate2"  # subfolder in which convert-model puts a Whisper's CTranslate2 weights
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
"""transformers' weights; whole, or an index of parts. The first that exists is loaded."""
EXTRACTOR_SETTINGS = ("preprocessor_config.json", "processor_config.json")
WHISPER_TYPE, CTC_TYPES = "whisper", ("parakeet_ctc", "wav2vec2-bert")
"""`model_type` in `config.json` of the models that are recognised with."""


def model_type(folder: Path) -> str:
    """Return the `model_type` in a model's `config.json`, as transformers writes it ("parakeet_ctc").

    Raises:
        InputRejected: the file is missing, invalid, or has no `model_type`.
    """
    try:
        config = json.loads((folder / "config.json").read_bytes())
        return str(config["model_type"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputRejected(
            f"no model that can be loaded: {type(error).__name__}: {error}",
            reason=Reason.MODEL_NOT_FOUND if isinstance(error, OSError) else Reason.CORRUPT,
            subject=str(folder),
            next_step="give a folder that transformers saved: config.json, model.safetensors, tokenizer and processor",
        ) from None


def is_whisper(folder: Path) -> bool:
    """Whether the folder holds a Whisper, in any layout: CTranslate2's and OpenAI's do not say so in `config.json`."""
    if not has_transformers_weights(folder) and ((folder / "model.bin").is_file() or any(folder.glob("*.pt"))):
        return True
    return model_type(folder) == WHISPER_TYPE


def has_transformers_weights(folder: Path) -> bool:
    """Whether the folder has weights that transformers loads."""
    return weights_name([path.name for path in folder.glob("*")]) is not None


def weights_name(names: Collection[str]) -> str | None:
    """The file that transformers loads the weights from, of these; None without one."""
    return next((name for name in WEIGHTS if name in names), None)


def extractor_settings(folder: Path) -> dict[str, Any]:
    """Read a feature extractor's settings: from a file of their own, or from the processor's, where transformers 5 puts
    them.

    Raises:
        InputRejected: neither file has them.
    """
    own, processor = (folder / name for name in EXTRACTOR_SETTINGS)
    try:
        if own.is_file():
            settings: dict[str, Any] = json.loads(own.read_bytes())
            return settings
        nested: dict[str, Any] = json.loads(processor.read_bytes())["feature_extractor"]
        return nested
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputRejected(
            f"no settings of a feature extractor ({' or '.join(EXTRACTOR_SETTINGS)}): {type(error).__name__}: {error}",
            reason=Reason.MODEL_NOT_FOUND if isinstance(error, OSError) else Reason.CORRUPT,
            subject=str(folder),
            next_step="save the model's feature extractor or processor beside the weights",
        ) from None
