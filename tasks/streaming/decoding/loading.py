"""Picking the features and the decoder for a model's folder."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.contract import Misconfigured, Reason
from tasks.features.config import FeatureFamily, FeaturesConfig, whisper
from tasks.models.folder import CTRANSLATE2_FOLDER, has_transformers_weights, is_whisper
from tasks.recognition import load_engine

if TYPE_CHECKING:
    from tasks.streaming.decoding.decoder import WindowDecoder

LARGE_V3_LANGUAGES, LARGE_V3_MELS = 100, 128  # earlier Whispers have 99 languages and 80 mels


def streamed_features(folder: Path) -> FeaturesConfig:
    """Return the features that a model's decoder takes, without loading the model.

    Raises:
        Misconfigured: a model that cannot be streamed.
        InputRejected: the folder holds no model.
    """
    if (folder / CTRANSLATE2_FOLDER / "model.bin").is_file():
        folder = folder / CTRANSLATE2_FOLDER
    if is_whisper(folder):
        return without_normalisation(whisper(_n_mels(folder)), str(folder))
    from tasks.recognition.ctc import features_config

    return without_normalisation(features_config(folder), str(folder))


def _n_mels(folder: Path) -> int:
    """Return the mels of a Whisper in any layout. Transformers' settings name them, CTranslate2's do not."""
    from tasks.models.whisper.ctranslate2_folder import servable_folder

    if has_transformers_weights(folder):
        return int(json.loads((folder / "config.json").read_bytes())["num_mel_bins"])
    config = json.loads((servable_folder(folder) / "config.json").read_bytes())
    return LARGE_V3_MELS if len(config["lang_ids"]) >= LARGE_V3_LANGUAGES else 80


def without_normalisation(config: FeaturesConfig, subject: str) -> FeaturesConfig:
    """Return a model's features without what depends on a whole utterance: normalisation, Whisper's window and range.

    Raises:
        Misconfigured: a family whose features depend on more than their own window otherwise.
    """
    if config.family is FeatureFamily.PARAKEET:
        return replace(config, per_feature_norm=False)
    if config.family is FeatureFamily.WHISPER:
        return replace(config, window_samples=0)
    raise Misconfigured(
        f"{config.family} features cannot be streamed",
        reason=Reason.INVALID_ARGUMENT,
        subject=subject,
        next_step="use a Parakeet CTC model or a Whisper",
    )


def load_decoder(folder: Path) -> WindowDecoder:
    """Load the model in a folder.

    Raises:
        Misconfigured: a model that cannot be streamed.
        InputRejected: the folder holds no model that can be loaded.
    """
    from tasks.recognition.whisper import WhisperEngine

    features = streamed_features(folder)
    engine = load_engine(folder)
    if isinstance(engine, WhisperEngine):
        from tasks.streaming.decoding.whisper import WhisperDecoder

        return WhisperDecoder(engine, features)
    from tasks.recognition.ctc import CtcEngine
    from tasks.streaming.decoding.ctc import CtcDecoder

    assert isinstance(engine, CtcEngine)
    return CtcDecoder(engine, features)
