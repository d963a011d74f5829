"""Decoding with fallbacks: chunks that fail the quality gate are decoded in other ways, and errors are isolated."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

import structlog

from tasks.audio import SAMPLES_PER_MS
from tasks.night.decoding import AudioChunk, DecodedChunk
from tasks.night.faults import describe_or_reraise

if TYPE_CHECKING:
    from tasks.recognition import Engine, Recognition

log = structlog.get_logger()


def decode_with_isolated_errors(engine: Engine, chunks: list[AudioChunk]) -> list[DecodedChunk]:
    """Decode the chunks of all programmes that have not failed.

    If that raises, decode programme by programme, so that only the one that causes the error fails.
    """
    by_programme: dict[int, list[AudioChunk]] = defaultdict(list)
    for chunk in chunks:
        if not chunk.decoding.error:
            by_programme[id(chunk.decoding)].append(chunk)
    if len(by_programme) > 1:
        try:
            return list(decode(engine, [chunk for of_one in by_programme.values() for chunk in of_one]))
        except Exception as error:
            log.warning("decoding failed: retrying programme by programme", error=describe_or_reraise(error))
    decoded = []
    for of_one in by_programme.values():
        with of_one[0].decoding.isolate_errors():
            decoded += list(decode(engine, of_one))
    return decoded


def decode(engine: Engine, chunks: list[AudioChunk]) -> Iterator[DecodedChunk]:
    """Decode chunks, with two fallbacks for those that fail the quality gate.

    First in two halves, which breaks a repetition loop and gives each half its own normalisation; then with the
    engine's fallback decoding, each half in its own detected language unless one was requested. A later recognition
    replaces an earlier one if it has fewer flags; what remains suspect is kept and marked. Words are replaced by none
    only where there is no speech.
    """
    from tasks.recognition.quality import QualityFlag

    recognitions = engine.recognise([chunk.samples for chunk in chunks], [chunk.decoding.hints for chunk in chunks])
    flags = [chunk.quality_flags(r.words) for chunk, r in zip(chunks, recognitions, strict=True)]
    flagged = {index for index, of_chunk in enumerate(flags) if of_chunk}
    for fallback in (False, True):
        failing = [index for index in sorted(flagged) if flags[index]]
        again = decode_halves(engine, [chunks[index] for index in failing], fallback)
        for index, recognition in zip(failing, again, strict=True):
            remaining = chunks[index].quality_flags(recognition.words)
            # A short chunk without words has no flag: that resolves no flag but words without speech.
            may_replace = recognition.words or QualityFlag.WORDS_WITHOUT_SPEECH in flags[index]
            if may_replace and len(remaining) < len(flags[index]):
                recognitions[index], flags[index] = recognition, remaining
    for index, chunk in enumerate(chunks):
        yield DecodedChunk(chunk, recognitions[index], flags[index], index in flagged)


def decode_halves(engine: Engine, chunks: list[AudioChunk], fallback: bool) -> Iterator[Recognition]:
    """Decode each chunk in two halves."""
    from tasks.recognition.retry import join_halves, split_at_quietest

    halves = [split_at_quietest(chunk.samples) for chunk in chunks]
    hints = [chunk.decoding.fallback_hints if fallback else chunk.decoding.hints for chunk in chunks for _ in range(2)]
    recognitions = engine.recognise([half for pair in halves for half in pair], hints, fallback) if chunks else []
    for index, (first, _) in enumerate(halves):
        yield join_halves(recognitions[2 * index], recognitions[2 * index + 1], len(first) // SAMPLES_PER_MS)
