"""Picking the engine for a model's folder."""

from __future__ import annotations

from pathlib import Path

from tasks.contract import Misconfigured, Reason
from tasks.models import model_type
from tasks.recognition.engine import Engine

CTRANSLATE2_FOLDER = "ctranslate2"  # subfolder in which convert-model puts a Whisper's CTranslate2 weights


def load_engine(folder: Path, device: str = "auto") -> Engine:
    """Load the model in a folder: `model.bin`, there or in `ctranslate2/`, is a CTranslate2 Whisper; otherwise
    `config.json` names the family.

    `device` is `cpu`, `cuda` or `auto`: an accelerator if there is one.

    Raises:
        InputRejected: the folder holds no model that can be loaded.
        Misconfigured: no engine runs this model family.
    """
    for ctranslate2_folder in (folder, folder / CTRANSLATE2_FOLDER):
        if (ctranslate2_folder / "model.bin").is_file():
            from tasks.recognition.whisper import WhisperEngine

            return WhisperEngine(ctranslate2_folder, device)
    family = model_type(folder)
    if family in ("parakeet_ctc", "wav2vec2-bert"):
        from tasks.recognition.ctc import CtcEngine

        return CtcEngine(folder, device)
    if family == "whisper":
        from tasks.recognition.whisper import WhisperEngine, convert_to_ctranslate2

        return WhisperEngine(convert_to_ctranslate2(folder), device)
    raise Misconfigured(
        f"no engine for model type {family!r}",
        reason=Reason.INVALID_ARGUMENT,
        subject=str(folder),
        next_step="give a Parakeet or wav2vec2-BERT CTC model, or a Whisper",
    )
