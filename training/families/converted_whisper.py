"""CTranslate2's Whisper behind the interface of training: the same features, prompt and tokenizer as the original's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tasks.recognition.whisper import COMPUTE_TYPES, NO_SPEECH_THRESHOLD
from training.families.acoustic import PaddedBatch
from training.families.whisper import Whisper


class ConvertedWhisper:
    """CTranslate2's Whisper, loaded as production loads it, with the original's features, prompt and tokenizer.

    It decodes greedily.
    """

    def __init__(self, folder: Path, original: Whisper, device: str) -> None:
        import ctranslate2

        self._original = original
        kind, _, index = device.partition(":")  # as torch names devices: cpu, cuda or cuda:1
        self._model = ctranslate2.models.Whisper(
            str(folder), device=kind, device_index=int(index or 0), compute_type=COMPUTE_TYPES[kind]
        )

    def decode(self, batch: PaddedBatch) -> list[str]:
        import ctranslate2

        features = np.ascontiguousarray(batch.features.transpose(1, 2).numpy())  # (batch, n_mels, n_frames)
        view: Any = ctranslate2.StorageView.from_array(features)
        prompts = [self._original.prompt] * len(features)
        max_length = 2 * self._original.max_text_tokens  # CTranslate2 allots half to the prompt, half to the text
        results = self._model.generate(view, prompts, beam_size=1, max_length=max_length, return_no_speech_prob=True)
        texts = self._original.texts_of([result.sequences_ids[0] for result in results])
        return ["" if r.no_speech_prob > NO_SPEECH_THRESHOLD else text for text, r in zip(texts, results, strict=True)]
