"""Picking the engine for a model's folder."""

from __future__ import annotations

from pathlib import Path

from tasks.models.checking import unknown_type
from tasks.models.folder import CTC_TYPES, CTRANSLATE2_FOLDER, is_whisper, model_type
from tasks.recognition.engine import Engine


def load_engine(folder: Path, device: str = "auto") -> Engine:
    """Load the model in a folder: a Whisper in any layout (`tasks.models.whisper`), or a CTC model that `config.json`
    names.

    `device` is `cpu`, `cuda` or `auto`: an accelerator if there is one.

    Raises:
        InputRejected: the folder holds no model that can be loaded.
        Misconfigured: no engine runs this model family.
    """
    if (folder / CTRANSLATE2_FOLDER / "model.bin").is_file():
        folder = folder / CTRANSLATE2_FOLDER
    if is_whisper(folder):
        from tasks.models.whisper.ctranslate2_folder import servable_folder
        from tasks.recognition.whisper import WhisperEngine

        return WhisperEngine(servable_folder(folder), device)
    family = model_type(folder)
    if family in CTC_TYPES:
        from tasks.recognition.ctc import CtcEngine

        return CtcEngine(folder, device)
    raise unknown_type(family, str(folder))
