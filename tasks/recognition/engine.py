"""What an engine is, and which one a model's folder asks for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tasks.contract import InputRejected, Misconfigured, Reason
from tasks.transcripts.document import WordTiming

if TYPE_CHECKING:
    import numpy as np

SAMPLE_RATE_HZ = 16_000


@dataclass(frozen=True, slots=True)
class Word:
    """One word. Times count from the start of its chunk: 0 ≤ `start_ms` ≤ `end_ms` ≤ the chunk's length."""

    text: str
    start_ms: int
    end_ms: int
    confidence: float
    """The model's own posterior, from 0 to 1."""
    timing: WordTiming


@dataclass(frozen=True, slots=True)
class Recognition:
    """What was heard in one chunk. Words are in order: neither starts nor ends ever run backwards."""

    words: tuple[Word, ...]
    language: str | None = None
    """BCP 47, where the model tells."""

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)


class Engine(Protocol):
    """A loaded model."""

    @property
    def name(self) -> str:
        """Family and library, as a transcript's provenance names them."""

    @property
    def longest_chunk_s(self) -> float:
        """Longer chunks are not understood whole."""

    def recognise(self, chunks: Sequence[np.ndarray]) -> list[Recognition]:
        """One recognition for each chunk, `(n_samples,)` float32 mono at 16 kHz, in the order given.

        The more chunks at once, the better they pack; memory grows with the batch that fits the device, not with
        their number.
        """


def load_engine(folder: Path, device: str = "auto") -> Engine:
    """The engine for a model's folder: `model.bin` is CTranslate2's Whisper, else `config.json` names the family.

    `device` is `cpu`, `cuda` or `auto`: an accelerator where there is one.

    Raises:
        InputRejected: the folder holds no model that can be loaded.
        Misconfigured: a model of a family that no engine serves.
    """
    if (folder / "model.bin").is_file():
        from tasks.recognition.whisper import WhisperEngine

        return WhisperEngine(folder, device)
    family = _family(folder)
    if family == "parakeet_ctc":
        from tasks.recognition.ctc import CtcEngine

        return CtcEngine(folder, device)
    if family == "whisper":
        from tasks.recognition.whisper import WhisperEngine, converted

        return WhisperEngine(converted(folder), device)
    raise Misconfigured(
        f"no engine for model type {family!r}",
        reason=Reason.INVALID_ARGUMENT,
        subject=str(folder),
        next_step="give a Parakeet CTC or a Whisper model",
    )


def _family(folder: Path) -> str:
    try:
        config = json.loads((folder / "config.json").read_bytes())
        return str(config["model_type"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputRejected(
            f"no model that can be loaded: {type(error).__name__}: {error}",
            reason=Reason.CORRUPT if folder.is_dir() else Reason.MODEL_NOT_FOUND,
            subject=str(folder),
            next_step="give a folder that transformers or CTranslate2 saved",
        ) from None
