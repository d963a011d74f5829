"""`.ctm`: one word per line with time and confidence (NIST, sclite's time-marked conversation), for scoring.

Fields: file, channel, start in seconds from the start of the media, duration in seconds, word, confidence (optional in
the format; omitted if unknown). A word that contains spaces is split into several that share its time.
"""

from __future__ import annotations

from collections.abc import Iterator

from tasks.transcripts.document import Word
from tasks.transcripts.formats.clock_time import seconds
from tasks.transcripts.formats.rendition import Rendition


def write(rendition: Rendition) -> bytes:
    prefix = f"{rendition.transcript.media.token} 1"
    # Sorted by start, as sclite requires: the parts of one word may extend into the next.
    records = sorted(
        (record for word in rendition.transcript.words for record in _records(word)), key=lambda record: record[0]
    )
    return "".join(f"{prefix} {seconds(start_ms)} {rest}\n" for start_ms, rest in records).encode()


def _records(word: Word) -> Iterator[tuple[int, str]]:
    """Yield start and the remaining fields."""
    duration_ms = word.end_ms - word.start_ms
    confidence = "" if word.confidence is None else f" {word.confidence:.3f}"
    if " " not in word.text:
        yield word.start_ms, f"{seconds(duration_ms)} {word.text}{confidence}"
        return
    parts = word.text.split()
    for index, part in enumerate(parts):
        start_ms = word.start_ms + duration_ms * index // len(parts)
        end_ms = word.start_ms + duration_ms * (index + 1) // len(parts)
        yield start_ms, f"{seconds(end_ms - start_ms)} {part}{confidence}"
