"""How far what a recogniser heard is from what a caption says.

Captions shorten, paraphrase and come late. The share of a caption's characters that a decode does not confirm tells
such utterances from those whose text was spoken.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.audio import SAMPLES_PER_MS
from tasks.corpus.utterances.text import Normaliser
from tasks.recognition import Hints
from tasks.recognition.retry import join_halves, split_at_quietest

if TYPE_CHECKING:
    import numpy as np

    from tasks.recognition import Engine, Recognition

_MARKS = re.compile(r"[.,?]")


@dataclass(frozen=True)
class Match:
    """A caption against what was heard in its audio."""

    heard: str
    """Normalised as the caption is, without marks."""
    character_errors: int
    n_characters: int
    """Of the caption, without marks."""
    word_errors: int
    n_words: int

    @property
    def error(self) -> float:
        """The match error: character errors a character of the caption. More than 1 where much more was heard."""
        return self.character_errors / max(self.n_characters, 1)


def match(caption: str, heard: str, normaliser: Normaliser) -> Match:
    """Least edit_distance from `caption`, which `normaliser` has written already, to what was `heard`.

    Marks do not count: a pause says little about where a subtitler put a comma.
    """
    caption, heard = without_marks(caption), without_marks(normaliser(heard))
    return Match(
        heard,
        edit_distance(caption, heard),
        len(caption),
        edit_distance(caption.split(), heard.split()),
        len(caption.split()),
    )


def without_marks(text: str) -> str:
    """`text` without its marks, words parted by single spaces."""
    return " ".join(_MARKS.sub(" ", text).split())


def edit_distance(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """The least number of substitutions, deletions and insertions (Levenshtein), of characters or of words."""
    from rapidfuzz.distance import Levenshtein

    return int(Levenshtein.distance(reference, hypothesis))


def recognise_utterances(engine: Engine, utterances: Sequence[np.ndarray], language: str) -> list[Recognition]:
    """One recognition each of `(n_samples,)` in `language`, however long: what the engine does not take whole is heard
    in parts."""
    longest = int(engine.max_chunk_s * 1000) * SAMPLES_PER_MS
    parts: list[list[np.ndarray]] = [_parts(samples, longest) for samples in utterances]
    chunks = [part for cut in parts for part in cut]
    found = iter(engine.recognise(chunks, [Hints(language=language)] * len(chunks)))
    whole = []
    for cut in parts:
        recognition, at_ms = next(found), len(cut[0]) // SAMPLES_PER_MS
        for part in cut[1:]:
            recognition = join_halves(recognition, next(found), at_ms)
            at_ms += len(part) // SAMPLES_PER_MS
        whole.append(recognition)
    return whole


def _parts(samples: np.ndarray, longest: int) -> list[np.ndarray]:
    """Halves of split_at_quietest, cut where it is quiet, until each is short enough."""
    if len(samples) <= longest:
        return [samples]
    first, second = split_at_quietest(samples)
    return [*_parts(first, longest), *_parts(second, longest)]
