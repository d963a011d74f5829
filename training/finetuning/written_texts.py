"""The written form of the texts that Whisper is tuned on, from what its base model writes for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from tasks.models.whisper.ctranslate2_folder import servable_folder
from tasks.recognition.loading import CTRANSLATE2_FOLDER
from training.data.shards import TrainingUtterance
from training.data.written_form import restore
from training.families.converted_whisper import ConvertedWhisper
from training.families.whisper import Whisper


class WrittenTexts:
    """Restores texts, and keeps them. The base model decodes each utterance once, greedily, beside the training."""

    def __init__(self, base: Path, model: Whisper, device: torch.device) -> None:
        converted = base / CTRANSLATE2_FOLDER
        folder = converted if converted.is_dir() else servable_folder(base)
        self._base, self._model = ConvertedWhisper(folder, model, str(device)), model
        # A batch takes a GPU hardly longer than one window, and a CPU as long as its windows one by one.
        self._decodes_batches = device.type != "cpu"
        self._restored: dict[str, str] = {}
        """By utterance."""

    def __call__(self, utterances: Sequence[TrainingUtterance]) -> list[TrainingUtterance]:
        """Return utterances and their segments with restored texts. Features must not be augmented yet."""
        new = [u for u in utterances if u.utterance_id not in self._restored]
        for batch in [new] if new and self._decodes_batches else [[u] for u in new]:
            for utterance, heard in zip(batch, self._base.decode(self._model.collate(batch)), strict=True):
                self._restored[utterance.utterance_id] = self._restore(utterance, heard)
        return [_with_text(utterance, self._restored[utterance.utterance_id]) for utterance in utterances]

    def _restore(self, utterance: TrainingUtterance, heard: str) -> str:
        restored = restore(utterance.text, heard)
        fits = self._model.rejection_reason(restored, utterance.duration_s) is None  # marks are tokens too
        return restored if fits else utterance.text


def _with_text(utterance: TrainingUtterance, text: str) -> TrainingUtterance:
    """Replace an utterance's text by one of as many words, in its segments too."""
    words = iter(text.split())
    segments = tuple(replace(s, text=" ".join(next(words) for _ in s.text.split())) for s in utterance.segments)
    return replace(utterance, text=text, segments=segments)
