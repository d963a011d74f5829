"""Which engine a model's folder asks for."""

from __future__ import annotations

from pathlib import Path

from tasks.contract import Misconfigured, Reason
from tasks.models import model_type
from tasks.recognition.engine import Engine

CONVERTED = "ctranslate2"  # a model's subfolder


def load_engine(folder: Path, device: str = "auto") -> Engine:
    """The engine for a model's folder: `model.bin` is CTranslate2's Whisper, else `config.json` names the family.

    A Whisper that convert-model made brings its CTranslate2 form along, in a folder of its own.

    `device` is `cpu`, `cuda` or `auto`: an accelerator where there is one.

    Raises:
        InputRejected: the folder holds no model that can be loaded.
        Misconfigured: a model of a family that no engine serves.
    """
    for converted_folder in (folder, folder / CONVERTED):
        if (converted_folder / "model.bin").is_file():
            from tasks.recognition.whisper import WhisperEngine

            return WhisperEngine(converted_folder, device)
    family = model_type(folder)
    if family in ("parakeet_ctc", "wav2vec2-bert"):
        from tasks.recognition.ctc import CtcEngine

        return CtcEngine(folder, device)
    if family == "whisper":
        from tasks.recognition.whisper import WhisperEngine, converted

        return WhisperEngine(converted(folder), device)
    raise Misconfigured(
        f"no engine for model type {family!r}",
        reason=Reason.INVALID_ARGUMENT,
        subject=str(folder),
        next_step="give a Parakeet or wav2vec2-BERT CTC model, or a Whisper",
    )
