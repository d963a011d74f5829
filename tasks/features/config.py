"""Configuration of log-mel features: every parameter that affects their values, in one frozen record."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from tasks.audio import SAMPLE_RATE_HZ


class FeatureFamily(StrEnum):
    """Families of features that differ in more than their parameters."""

    PARAKEET = "parakeet"  # FastConformer: pre-emphasis over the whole signal, centred frames
    WHISPER = "whisper"  # 30-second window, base-10 logarithm, clamped to 8 below the maximum
    KALDI = "kaldi"  # wav2vec2-BERT: whole frames only, DC removal and pre-emphasis per frame, Kaldi's mel scale


@dataclass(frozen=True)
class FeaturesConfig:
    """Parameters of one extractor. Equal configurations give equal features, on any device.

    An utterance of `n_samples` has `n_samples // hop_samples` frames (Parakeet), as many as fit completely (Kaldi), or
    always `window_samples // hop_samples` (Whisper); `stride` of them are stacked into one.
    """

    family: FeatureFamily
    n_mels: int
    hop_samples: int
    win_samples: int
    n_fft: int
    sample_rate_hz: int = SAMPLE_RATE_HZ
    preemphasis: float = 0.0
    # Every utterance is cut or padded to this length; 0 keeps its own. Whisper's frames then have no range yet: it
    # depends on a window's maximum.
    window_samples: int = 0
    per_feature_norm: bool = False
    stride: int = 1  # number of frames stacked into one model frame; an incomplete last one is dropped

    def __post_init__(self) -> None:
        object.__setattr__(self, "family", FeatureFamily(self.family))
        for name in ("n_mels", "hop_samples", "win_samples", "n_fft", "sample_rate_hz", "stride"):
            if getattr(self, name) < 1:
                raise ValueError(f"features: {name} must be at least 1, not {getattr(self, name)}")
        if self.win_samples > self.n_fft:
            raise ValueError(f"features: a window of {self.win_samples} samples exceeds n_fft {self.n_fft}")
        if self.window_samples % self.hop_samples:
            raise ValueError(f"features: {self.window_samples} samples are not a multiple of hop {self.hop_samples}")

    @property
    def n_features(self) -> int:
        """Values per frame."""
        return self.n_mels * self.stride

    @property
    def frame_rate_hz(self) -> float:
        return self.sample_rate_hz / (self.hop_samples * self.stride)

    def n_frames(self, n_samples: int) -> int:
        """Frames of an utterance of `n_samples`."""
        return self.n_spectra(n_samples) // self.stride

    def n_spectra(self, n_samples: int) -> int:
        """Number of frames before stacking."""
        if self.family is FeatureFamily.KALDI:
            return max(0, 1 + (n_samples - self.win_samples) // self.hop_samples)
        return (self.window_samples or n_samples) // self.hop_samples

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no spaces."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> FeaturesConfig:
        fields: dict[str, Any] = json.loads(text)
        return cls(**fields)

    @property
    def digest(self) -> str:
        """sha256 of the canonical JSON, 64 hexadecimal digits."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def parakeet(hop_samples: int = 160, n_mels: int = 80, *, per_feature_norm: bool = True) -> FeaturesConfig:
    """FastConformer features as used by NVIDIA's Parakeet models; the demo models use `hop_samples=320`."""
    return FeaturesConfig(
        family=FeatureFamily.PARAKEET,
        n_mels=n_mels,
        hop_samples=hop_samples,
        win_samples=400,
        n_fft=512,
        preemphasis=0.97,
        per_feature_norm=per_feature_norm,
    )


def whisper(n_mels: int = 80) -> FeaturesConfig:
    """Whisper's features: 80 mels up to large-v2, 128 from large-v3 on; 3000 frames of a 30-second window."""
    return FeaturesConfig(
        family=FeatureFamily.WHISPER,
        n_mels=n_mels,
        hop_samples=160,
        win_samples=400,
        n_fft=400,
        window_samples=30 * SAMPLE_RATE_HZ,
    )


def kaldi(n_mels: int = 23, *, per_feature_norm: bool = False, stride: int = 1) -> FeaturesConfig:
    """`compute-fbank-feats --dither=0` with Kaldi's own defaults."""
    return FeaturesConfig(
        family=FeatureFamily.KALDI,
        n_mels=n_mels,
        hop_samples=160,
        win_samples=400,
        n_fft=512,
        preemphasis=0.97,
        per_feature_norm=per_feature_norm,
        stride=stride,
    )


def wav2vec2_bert() -> FeaturesConfig:
    """wav2vec2-BERT's and SeamlessM4T's features: Kaldi's, normalised, two frames stacked: 160 values every 20 ms."""
    return kaldi(80, per_feature_norm=True, stride=2)
