"""What an engine is: chunks of audio in, words with times and confidences out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from tasks.transcripts.document import WordTiming

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class Word:
    """One word. Times count from the start of its chunk: 0 ≤ `start_ms` ≤ `end_ms` ≤ the chunk's length."""

    text: str
    start_ms: int
    end_ms: int
    confidence: float
    """The model's own posterior, from 0 to 1."""
    timing: WordTiming


@dataclass(frozen=True, slots=True)
class Recognition:
    """What was heard in one chunk. Words are in order: neither starts nor ends ever run backwards."""

    words: tuple[Word, ...]
    language: str | None = None
    """BCP 47, where the model tells."""

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)


@dataclass(frozen=True, slots=True)
class Hints:
    """What is known of a chunk before it is heard."""

    language: str | None = None
    """BCP 47. None: to be heard in the chunk itself, where the model can."""
    vocabulary: tuple[str, ...] = ()
    """Words and names that may be said."""


class Engine(Protocol):
    """A loaded model."""

    @property
    def name(self) -> str:
        """Family and library, as a transcript's provenance names them."""

    @property
    def longest_chunk_s(self) -> float:
        """Longer chunks are not understood whole."""

    @property
    def join_pause_s(self) -> float:
        """Speech parted by a shorter pause goes into one chunk, where it fits."""

    @property
    def portion_s(self) -> float:
        """Audio to hand it at once: enough to pack well. It is held in memory, and as much again is read ahead."""

    @property
    def has_fixed_window(self) -> bool:
        """A short chunk costs as much as the longest."""

    @property
    def tells_languages(self) -> bool:
        """Whether it hears which language is spoken."""

    def languages(self, chunks: Sequence[np.ndarray]) -> list[dict[str, float]]:
        """For each chunk, how probable each language is (BCP 47). A model that cannot tell gives nothing."""

    def recognise(
        self, chunks: Sequence[np.ndarray], hints: Sequence[Hints] | None = None, careful: bool = False
    ) -> list[Recognition]:
        """One recognition for each chunk, `(n_samples,)` float32 mono at 16 kHz, in the order given.

        The more chunks at once, the better they pack; memory grows with the batch that fits the device, not with
        their number. `hints` has one for each chunk. `careful` is for chunks on which the usual way has failed:
        nothing is used that may have misled it, and no loop is allowed.
        """
