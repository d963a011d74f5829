"""The protocol of a decoder of growing windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from tasks.features.config import FeaturesConfig
from tasks.recognition.engine import RecognisedWord
from tasks.streaming.runtime.messages import LiveWord

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Pace:
    """When a window is decoded, and how long it becomes."""

    step_ms: int
    """New audio between two decoding passes within an utterance."""
    max_step_ms: int
    """The same on a machine that is too slow."""
    hold_back_ms: int
    """A word this close to the window's end may be the beginning of a longer one."""
    n_held_words: int
    """So many of a hypothesis' last words are not committed before the utterance ends."""
    max_pending_ms: int
    """A word with so much audio after it is committed even if no two passes agree on it."""
    max_window_ms: int
    context_ms: int
    """Committed audio kept as left context: models are inaccurate at the start of their input."""
    max_context_ms: int
    """With more committed audio a window is cut before it is full."""
    pause_context_ms: int
    """Audio kept as left context after a pause."""
    max_joined_pause_ms: int
    """After a longer pause a new window starts, as do chunks of the batch path."""


@dataclass(frozen=True)
class Window:
    """A window of features, and what is known about it."""

    frames: np.ndarray
    """Log-mel before normalisation, `(n_frames, n_mels)` float32."""
    start_ms: int
    end_ms: int
    committed: Sequence[LiveWord] = ()
    """The last committed words, in the window and before it."""
    language: str = ""
    """BCP 47; empty: unknown."""
    spoken_from_ms: int = 0
    """Start of the open utterance."""
    is_final: bool = False
    """Whether all its words will be committed: worth a more careful pass."""


class WindowDecoder(Protocol):
    """A model that decodes windows. Holds no state between calls: equal windows give equal words."""

    @property
    def name(self) -> str:
        """Family and library, as a transcript's provenance names them."""

    @property
    def features(self) -> FeaturesConfig: ...

    @property
    def pace(self) -> Pace: ...

    @property
    def detects_languages(self) -> bool: ...

    def decode(self, window: Window) -> tuple[LiveWord, ...]:
        """Return the words after the committed ones, on the session's timeline."""

    def detect_language(self, window: Window, from_ms: int) -> dict[str, float]:
        """Return each language's probability (BCP 47) from a time on; nothing if the model does not detect them.

        The window is the one that is decoded next, so that a decoder encodes it once.
        """


def on_timeline(words: Sequence[RecognisedWord], start_ms: int) -> tuple[LiveWord, ...]:
    """Move words from their window's time to the session's."""
    return tuple(
        LiveWord(
            text=word.text,
            start_ms=start_ms + word.start_ms,
            end_ms=start_ms + word.end_ms,
            confidence=round(word.confidence, 4),
            timing=word.timing,
        )
        for word in words
    )
