"""The kinds of models that can be trained here."""

from __future__ import annotations

from enum import StrEnum


class Family(StrEnum):
    """A kind of model, as presets and results name it."""

    PARAKEET_CTC = "parakeet-ctc"
    WAV2VEC2_BERT_CTC = "wav2vec2-bert-ctc"
    WHISPER = "whisper"


# By the name in a model's config.json.
MODEL_TYPES = {
    "parakeet_ctc": Family.PARAKEET_CTC,
    "wav2vec2-bert": Family.WAV2VEC2_BERT_CTC,
    "whisper": Family.WHISPER,
}
