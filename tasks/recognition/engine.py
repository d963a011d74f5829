"""The engine protocol: chunks of audio in, words with times and confidences out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from tasks.transcripts.document import WordTiming
from tasks.transcripts.spans import Span

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class RecognisedWord:
    """One word. Times count from the start of its chunk: 0 ≤ `start_ms` ≤ `end_ms` ≤ the chunk's length."""

    text: str
    start_ms: int
    end_ms: int
    confidence: float
    """The model's own posterior, from 0 to 1."""
    timing: WordTiming


@dataclass(frozen=True, slots=True)
class Recognition:
    """The hypothesis for one chunk. Neither the starts nor the ends of its words ever decrease."""

    words: tuple[RecognisedWord, ...]
    language: str | None = None
    """BCP 47; None if the model does not detect languages."""
    log_probability: float = 0.0
    """Natural logarithm of the text's probability, given the audio and the language; 0 without text, and for models
    that are not asked to choose between languages."""

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)


@dataclass(frozen=True, slots=True)
class Hints:
    """What is known about a chunk before it is decoded."""

    language: str | None = None
    """BCP 47. None: detect it in the chunk itself, if the model can."""
    vocabulary: tuple[str, ...] = ()
    """Words and names to expect."""


class Engine(Protocol):
    """A loaded model."""

    @property
    def name(self) -> str:
        """Family and library, as a transcript's provenance names them."""

    @property
    def max_chunk_s(self) -> float:
        """The longest chunk that is decoded in one pass."""

    @property
    def join_pause_s(self) -> float:
        """Speech segments with a shorter pause between them share a chunk, if both fit into one."""

    @property
    def batch_s(self) -> float:
        """Audio to pass in one call: enough to pack well. It is held in memory, and as much again is prefetched."""

    @property
    def has_fixed_window(self) -> bool:
        """Whether a short chunk costs as much as the longest."""

    @property
    def detects_languages(self) -> bool:
        """Whether the model detects the spoken language."""

    def detect_languages(self, chunks: Sequence[np.ndarray]) -> list[dict[str, float]]:
        """For each chunk, the probability of each language (BCP 47). Empty for a model that does not detect them."""

    def detect_languages_within(self, chunk: np.ndarray, stretches: Sequence[Span]) -> list[dict[str, float]]:
        """For each stretch of one chunk, in milliseconds from its start, the probability of each language. Costs little
        after `detect_languages` of the same chunk."""

    def recognise(
        self, chunks: Sequence[np.ndarray], hints: Sequence[Hints] | None = None, fallback: bool = False
    ) -> list[Recognition]:
        """One recognition for each chunk, `(n_samples,)` float32 mono at 16 kHz, in the given order.

        More chunks in one call pack better; memory grows with the batch that fits the device, not with their number.
        `hints` has one entry for each chunk. `fallback` is for chunks whose normal decoding failed: it ignores
        anything that may have misled the model, and allows no repetition loop.
        """
