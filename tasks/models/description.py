"""What a model is, by its settings and the sizes of its files: its kind and the features that it takes.

A dataset is made for a model, and a training is refused, before weights are read.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.contract import Reason
from tasks.features.config import FeatureFamily, FeaturesConfig, kaldi, whisper
from tasks.models import hub
from tasks.models.checking import unknown_type
from tasks.models.fetching import fetch
from tasks.models.folder import CTC_TYPES, CTRANSLATE2_FOLDER, EXTRACTOR_SETTINGS, WHISPER_TYPE, weights_name
from tasks.models.listing import ModelFiles, list_files
from tasks.models.reference import CHECKPOINT, ModelReference, model_not_found
from tasks.models.whisper.tokenizer import VOCABULARIES, read_vocabulary
from tasks.models.whisper.weights import MULTILINGUAL_VOCABULARY


@dataclass(frozen=True)
class ModelDescription:
    """What is known of a model before its weights are read."""

    model_type: str
    """As transformers names it ("parakeet_ctc")."""
    features: FeaturesConfig
    weights_bytes: int
    """Size of its weights; 0 where the store does not tell sizes."""


def describe(reference: ModelReference) -> ModelDescription:
    """Describe a model in any layout. Only OpenAI's checkpoints, which have no settings beside them, are fetched.

    Raises:
        InputRejected: a file of settings is missing or damaged.
        Misconfigured: no engine runs this kind of model.
    """
    files = list_files(reference)
    if files is None:
        raise model_not_found(
            reference.uri,
            "its settings are not here, and the hub does not answer",
            "download it where there is a network and give the folder",
        )
    weights_bytes = sum(files.sizes[name] or 0 for name in _weights(files))
    if weights_name(files.sizes) is not None:
        found, features = _of_transformers(files)
        return ModelDescription(found, features, weights_bytes)
    n_mels = _n_mels_of_checkpoint(reference) if _is_checkpoint(files) else _n_mels_of_ctranslate2(files)
    return ModelDescription(WHISPER_TYPE, whisper(n_mels), weights_bytes)


def ctc_features(saved: Mapping[str, Any]) -> FeaturesConfig:
    """Return the features of a CTC model from its extractor's settings. Raises KeyError where one is missing."""
    if saved.get("feature_extractor_type") == "SeamlessM4TFeatureExtractor":
        return kaldi(saved["num_mel_bins"], per_feature_norm=True, stride=saved["stride"])
    return FeaturesConfig(
        family=FeatureFamily.PARAKEET,
        n_mels=saved["feature_size"],
        hop_samples=saved["hop_length"],
        win_samples=saved["win_length"],
        n_fft=saved["n_fft"],
        sample_rate_hz=saved["sampling_rate"],
        preemphasis=saved["preemphasis"],
        per_feature_norm=True,
    )


def _weights(files: ModelFiles) -> list[str]:
    return [name for name in hub.needed_files(list(files.sizes)) if Path(name).suffix in hub.WEIGHTS]


def _is_checkpoint(files: ModelFiles) -> bool:
    return not _model_bins(files) and any(name.endswith(CHECKPOINT) and "/" not in name for name in files.sizes)


def _model_bins(files: ModelFiles) -> list[str]:
    return [name for name in ("model.bin", f"{CTRANSLATE2_FOLDER}/model.bin") if name in files.sizes]


def _of_transformers(files: ModelFiles) -> tuple[str, FeaturesConfig]:
    config = files.read_json("config.json")
    found = config.get("model_type")
    try:
        if found == WHISPER_TYPE:
            return found, whisper(config["num_mel_bins"])
        if found in CTC_TYPES:
            return found, ctc_features(_extractor_settings(files))
    except (KeyError, TypeError, ValueError) as error:
        files.refuse(
            f"its settings do not say what features it takes: {type(error).__name__}: {error}",
            "save the model's configuration and its feature extractor again",
            reason=Reason.CORRUPT,
        )
    raise unknown_type(found, files.subject)


def _extractor_settings(files: ModelFiles) -> dict[str, Any]:
    own, processor = EXTRACTOR_SETTINGS
    if own in files.sizes:
        return files.read_json(own)
    nested: dict[str, Any] = files.read_json(processor)["feature_extractor"]
    return nested


def _n_mels_of_ctranslate2(files: ModelFiles) -> int:
    """CTranslate2 keeps the number in the weights. large-v3 takes 128 mels, and has one language more than others."""
    if not _model_bins(files):
        files.refuse("no weights of a speech recogniser", "give a folder with one model, complete")
    prefix = _model_bins(files)[0].removesuffix("model.bin")
    own = f"{prefix}{EXTRACTOR_SETTINGS[0]}"
    if own in files.sizes and "feature_size" in (saved := files.read_json(own)):
        return int(saved["feature_size"])
    name = next((prefix + name for name in VOCABULARIES if prefix + name in files.sizes), None)
    if name is None:
        files.refuse(f"no {' and no '.join(VOCABULARIES)}", "copy all files of the model, or convert it again")
    n_tokens = len(read_vocabulary(name, files.read(name).decode()))
    return 128 if n_tokens > MULTILINGUAL_VOCABULARY else 80


def _n_mels_of_checkpoint(reference: ModelReference) -> int:
    from tasks.models.whisper.openai_file import read_openai

    with tempfile.TemporaryDirectory(prefix="airscript-") as scratch:
        (checkpoint,) = sorted(fetch(reference, Path(scratch)).glob(f"*{CHECKPOINT}"))
        return read_openai(checkpoint).n_mels
