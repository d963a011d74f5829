"""The kind of model in a folder."""

from __future__ import annotations

import json
from pathlib import Path

from tasks.contract import InputRejected, Reason


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
