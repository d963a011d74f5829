"""The feature configurations of datasets, by the names used in forms and manifests."""

from __future__ import annotations

from tasks.contract import Misconfigured, Reason
from tasks.features.config import FeaturesConfig, parakeet, wav2vec2_bert, whisper
from tasks.models import ModelReference, describe

FEATURES = {
    "parakeet-80-10ms": parakeet(hop_samples=160),
    "parakeet-80-20ms": parakeet(hop_samples=320),
    "parakeet-128-10ms": parakeet(hop_samples=160, n_mels=128),
    "whisper-80": whisper(80),
    "whisper-128": whisper(128),
    "wav2vec2-bert": wav2vec2_bert(),
}


def features_named(name: str) -> FeaturesConfig:
    """Look up a configuration by name. Raises Misconfigured if there is none."""
    if name not in FEATURES:
        raise Misconfigured(
            f"unknown features; available are {', '.join(FEATURES)}",
            reason=Reason.INVALID_ARGUMENT,
            subject=f"--features={name}",
            next_step="choose the features that the base model was trained with",
        )
    return FEATURES[name]


def features_of(base: ModelReference) -> str:
    """Return the name of the features that a model takes. Raises Misconfigured if they have none."""
    config = describe(base).features
    if not (name := name_of(config)):
        raise Misconfigured(
            f"takes features that no configuration here gives: {config.to_json()}",
            reason=Reason.INVALID_ARGUMENT,
            subject=base.uri,
            next_step="train another model, or add its features to tasks/corpus/feature_names.py",
        )
    return name


def name_of(config: FeaturesConfig) -> str:
    """Return the name of a configuration; empty for one without a name."""
    return next((name for name, named in FEATURES.items() if named == config), "")
