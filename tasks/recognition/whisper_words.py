"""The words of a decoded window, from the segments of faster-whisper."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tasks.recognition.engine import RecognisedWord
from tasks.transcripts.document import WordTiming
from tasks.transcripts.text import space_between

if TYPE_CHECKING:
    from faster_whisper.transcribe import Segment
    from faster_whisper.transcribe import Word as WordPart


def as_segment(part: dict[str, Any]) -> Segment:
    """Return upstream's segment from the dictionary in which its batched pipeline has it."""
    from faster_whisper.transcribe import Segment
    from faster_whisper.transcribe import Word as WordPart

    words = [WordPart(**word) for word in part["words"]]
    return Segment(**part | {"id": 0, "temperature": 0.0, "words": words})


def words_of_segments(
    segments: Iterable[Segment], offset_s: float, length_s: float, language: str
) -> tuple[RecognisedWord, ...]:
    """Return a chunk's words. Times count from the chunk's start, are clamped to the chunk and never decrease."""
    words: list[RecognisedWord] = []
    start_ms = end_ms = 0
    length_ms = int(length_s * 1000)
    for text, start_s, end_s, probability, timing in (
        word for segment in segments for word in _timed_words(segment, language)
    ):
        start_ms = min(max(round((start_s - offset_s) * 1000), start_ms), length_ms)
        end_ms = min(max(round((end_s - offset_s) * 1000), start_ms, end_ms), length_ms)
        words.append(RecognisedWord(text, start_ms, end_ms, min(max(float(probability), 0.0), 1.0), timing))
    return tuple(words)


def _timed_words(segment: Segment, language: str) -> Iterator[tuple[str, float, float, float, WordTiming]]:
    """Text, start, end, probability and timing of each word, in seconds of the whole line.

    A text for which attention gave no word times is spread over the segment by word length: text is never lost.
    """
    if segment.words:
        for word in merge_parts(segment.words, language):
            yield word.word, word.start, word.end, word.probability, WordTiming.ATTENTION
        return
    texts = segment.text.split()
    n_characters = sum(map(len, texts))
    n_before = 0
    for text in texts:
        start, end = (
            segment.start + (segment.end - segment.start) * n / n_characters for n in (n_before, n_before + len(text))
        )
        yield text, start, end, math.exp(segment.avg_logprob), WordTiming.CHUNK
        n_before += len(text)


def merge_parts(parts: Iterable[WordPart], language: str) -> list[WordPart]:
    """Merge upstream's words into whole ones, without leading spaces.

    Upstream starts a word at punctuation inside one ("state", "-of") and, in scripts without spaces, at every token
    ("20", "24"). A part without a leading space, where one would be written, belongs to the word before.
    """
    words: list[WordPart] = []
    for part in parts:
        text = part.word.strip()
        if text and words and not part.word[0].isspace() and space_between(words[-1].word, text, language):
            before = words[-1]
            probability = min(before.probability, part.probability)
            words[-1] = replace(before, word=before.word + text, end=part.end, probability=probability)
        elif text:
            words.append(replace(part, word=text))
    return words
