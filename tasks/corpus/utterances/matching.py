"""Match captions with a recogniser's hypothesis.

Captions shorten, paraphrase and come late. The character error of the hypothesis against the caption tells such
utterances from those whose text was spoken.
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

_PUNCTUATION = re.compile(r"[.,?]")


@dataclass(frozen=True)
class Match:
    """A caption compared with the hypothesis for its audio."""

    hypothesis: str
    """Normalised like the caption, without punctuation."""
    character_errors: int
    n_characters: int
    """Of the caption, without punctuation."""
    word_errors: int
    n_words: int

    @property
    def error(self) -> float:
        """The match error: character errors per character of the caption. Above 1 if the hypothesis is much longer."""
        return self.character_errors / max(self.n_characters, 1)


def match(caption: str, hypothesis: str, normaliser: Normaliser) -> Match:
    """Edit distances from `caption`, which is normalised already, to `hypothesis`.

    Punctuation is ignored: a pause says little about where a subtitler puts a comma.
    """
    caption, hypothesis = without_punctuation(caption), without_punctuation(normaliser(hypothesis))
    return Match(
        hypothesis,
        edit_distance(caption, hypothesis),
        len(caption),
        edit_distance(caption.split(), hypothesis.split()),
        len(caption.split()),
    )


def without_punctuation(text: str) -> str:
    """`text` without punctuation, words separated by single spaces."""
    return " ".join(_PUNCTUATION.sub(" ", text).split())


def edit_distance(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """The minimum number of substitutions, deletions and insertions (Levenshtein) of characters or words."""
    from rapidfuzz.distance import Levenshtein

    return int(Levenshtein.distance(reference, hypothesis))


def recognise_utterances(engine: Engine, utterances: Sequence[np.ndarray], language: str) -> list[Recognition]:
    """Recognise utterances, `(n_samples,)` each, in `language`. Those too long for the engine are split."""
    max_samples = int(engine.max_chunk_s * 1000) * SAMPLES_PER_MS
    parts_of: list[list[np.ndarray]] = [_split(samples, max_samples) for samples in utterances]
    chunks = [part for parts in parts_of for part in parts]
    recognitions = iter(engine.recognise(chunks, [Hints(language=language)] * len(chunks)))
    joined = []
    for parts in parts_of:
        recognition, at_ms = next(recognitions), len(parts[0]) // SAMPLES_PER_MS
        for part in parts[1:]:
            recognition = join_halves(recognition, next(recognitions), at_ms)
            at_ms += len(part) // SAMPLES_PER_MS
        joined.append(recognition)
    return joined


def _split(samples: np.ndarray, max_samples: int) -> list[np.ndarray]:
    """Split in half at the quietest point until each part is short enough."""
    if len(samples) <= max_samples:
        return [samples]
    first, second = split_at_quietest(samples)
    return [*_split(first, max_samples), *_split(second, max_samples)]
