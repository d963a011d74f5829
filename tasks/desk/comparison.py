"""The machine's words against a person's: word errors, by speaker, and what the machine wrote instead.

Normalised as evaluations are, so that these error rates and those of models can be compared.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from tasks.transcripts.document import Transcript, Word
from tasks.transcripts.error_counts import ErrorCounts
from tasks.transcripts.normaliser import normalise
from tasks.transcripts.text import separates_words


@dataclass(frozen=True)
class Comparison:
    """Word errors of a transcript against a person's words; character errors in scripts without spaces."""

    errors: ErrorCounts
    by_speaker: dict[str, ErrorCounts]
    """By the name or id of the person's speaker; inserted words count to whoever spoke before them."""


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    speaker: str


def compare(machine: Transcript, person: Transcript) -> Comparison:
    """Compare a transcript of the same media with a person's version."""
    from rapidfuzz.distance import Levenshtein

    reference, hypothesis = list(_tokens(person)), list(_tokens(machine))
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for token in reference:
        counts[token.speaker]["length"] += 1
    kinds = {"replace": "substitutions", "delete": "deletions", "insert": "insertions"}
    operations = Levenshtein.editops([token.text for token in reference], [token.text for token in hypothesis])
    for operation in operations:
        at = operation.src_pos - 1 if operation.tag == "insert" and operation.src_pos else operation.src_pos
        speaker = reference[at].speaker if reference else ""
        counts[speaker][kinds[operation.tag]] += 1
    by_speaker = {speaker: ErrorCounts(**counted) for speaker, counted in sorted(counts.items())}
    return Comparison(sum(by_speaker.values(), ErrorCounts()), by_speaker)


def _tokens(transcript: Transcript) -> Iterator[_Token]:
    """Yield the words, or in scripts without spaces the characters, normalised."""
    names = {speaker.id: speaker.name or speaker.id for speaker in transcript.speakers}
    has_words = separates_words(transcript.language)
    for segment in transcript.segments:
        speaker = names.get(segment.speaker or "", "")
        for word in segment.words:
            for text in normalised(word):
                for part in [text] if has_words else text:
                    yield _Token(part, speaker)


def normalised(word: Word) -> list[str]:
    """A word as it is counted: none for a mark alone, several for "ten-year-old"."""
    return normalise(word.text).split()
