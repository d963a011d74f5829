"""CTC models: the whole window is decoded each time, normalised as a whole, as the batch path does with its chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from tasks.features.config import FeaturesConfig
from tasks.features.logmel import per_feature_norm
from tasks.streaming.decoding.agreement import select_uncommitted
from tasks.streaming.decoding.decoder import Pace, Window, on_timeline
from tasks.streaming.runtime.messages import LiveWord

if TYPE_CHECKING:
    from tasks.recognition.ctc import CtcEngine

PACE = Pace(
    step_ms=500,
    max_step_ms=500,
    hold_back_ms=400,
    n_held_words=0,
    max_pending_ms=9_000,
    max_window_ms=9_000,
    context_ms=3_000,
    max_context_ms=9_000,
    pause_context_ms=3_000,
    max_joined_pause_ms=600,
)


class CtcDecoder:
    """Decodes windows with a CTC engine."""

    pace = PACE
    detects_languages = False

    def __init__(self, engine: CtcEngine, features: FeaturesConfig) -> None:
        """`features`: the engine's, without normalisation."""
        self._engine = engine
        self.name, self.features = engine.name, features

    def decode(self, window: Window) -> tuple[LiveWord, ...]:
        """See `WindowDecoder.decode`."""
        frames = torch.from_numpy(window.frames.copy())  # (n_frames, n_mels)
        features = per_feature_norm(frames, self.features.family)
        recognised = self._engine.recognise_features(features, window.end_ms - window.start_ms)
        words = on_timeline(recognised.words, window.start_ms)
        return select_uncommitted(words, window.committed[-1] if window.committed else None)

    def detect_language(self, window: Window, from_ms: int) -> dict[str, float]:  # noqa: ARG002
        """See `WindowDecoder.detect_language`: a CTC model does not."""
        return {}
