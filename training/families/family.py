"""Model families that can be fine-tuned."""

from __future__ import annotations

from enum import StrEnum


class ModelFamily(StrEnum):
    """A model family, as presets and results name it."""

    PARAKEET_CTC = "parakeet-ctc"
    WAV2VEC2_BERT_CTC = "wav2vec2-bert-ctc"
    WHISPER = "whisper"


# By `model_type` in a model's config.json.
MODEL_TYPES = {
    "parakeet_ctc": ModelFamily.PARAKEET_CTC,
    "wav2vec2-bert": ModelFamily.WAV2VEC2_BERT_CTC,
    "whisper": ModelFamily.WHISPER,
}
