"""The machine's words against a person's: word errors, by speaker, and what the machine wrote instead.

Normalised as evaluations are, so that these error rates and those of models can be compared.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import lru_cache

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


def compare(machine: Transcript, person: Transcript) -> Comparison:
    """Compare a transcript of the same media with a person's version."""
    from rapidfuzz.distance import Levenshtein

    reference, speakers = _tokens(person)
    hypothesis, _ = _tokens(machine)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for speaker, length in Counter(speakers).items():
        counts[speaker]["length"] = length
    kinds = {"replace": "substitutions", "delete": "deletions", "insert": "insertions"}
    for operation in Levenshtein.editops(reference, hypothesis):
        at = operation.src_pos - 1 if operation.tag == "insert" and operation.src_pos else operation.src_pos
        speaker = speakers[at] if speakers else ""
        counts[speaker][kinds[operation.tag]] += 1
    by_speaker = {speaker: ErrorCounts(**counted) for speaker, counted in sorted(counts.items())}
    return Comparison(sum(by_speaker.values(), ErrorCounts()), by_speaker)


def _tokens(transcript: Transcript) -> tuple[list[str], list[str]]:
    """Return the words, or in scripts without spaces the characters, normalised, and the speaker of each."""
    texts: list[str] = []
    speakers: list[str] = []
    names = {speaker.id: speaker.name or speaker.id for speaker in transcript.speakers}
    has_words = separates_words(transcript.language)
    for segment in transcript.segments:
        speaker = names.get(segment.speaker or "", "")
        for word in segment.words:
            for text in _normalised(word.text):
                texts += [text] if has_words else text
        speakers += [speaker] * (len(texts) - len(speakers))
    return texts, speakers


def normalised(word: Word) -> list[str]:
    """A word as it is counted: none for a mark alone, several for "ten-year-old"."""
    return [*_normalised(word.text)]


@lru_cache(maxsize=1 << 16)  # a programme of 40,000 words has some thousands
def _normalised(text: str) -> tuple[str, ...]:
    return tuple(normalise(text).split())
