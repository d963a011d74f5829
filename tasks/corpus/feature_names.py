"""The feature configurations that a dataset can be made with, by the names that forms and manifests use."""

from __future__ import annotations

from tasks.contract import Misconfigured, Reason
from tasks.features.config import FeaturesConfig, parakeet, wav2vec2_bert, whisper

FEATURES = {
    "parakeet-80-10ms": parakeet(hop_samples=160),
    "parakeet-80-20ms": parakeet(hop_samples=320),
    "parakeet-128-10ms": parakeet(hop_samples=160, n_mels=128),
    "whisper-80": whisper(80),
    "whisper-128": whisper(128),
    "wav2vec2-bert": wav2vec2_bert(),
}


def features_named(name: str) -> FeaturesConfig:
    """The configuration behind a name. Raises Misconfigured when there is none."""
    if name not in FEATURES:
        raise Misconfigured(
            f"no such features; there are {', '.join(FEATURES)}",
            reason=Reason.INVALID_ARGUMENT,
            subject=f"--features={name}",
            next_step="choose the one that the base model was made for",
        )
    return FEATURES[name]
