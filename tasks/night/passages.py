"""The passages of a programme by language: each chunk gets its language, and is cut where the language changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

from tasks.audio import SAMPLES_PER_MS
from tasks.night.decoding import MIN_PASSAGE_MS, AudioChunk
from tasks.transcripts.coverage import speech_within
from tasks.transcripts.spans import Span

if TYPE_CHECKING:
    from tasks.recognition import Engine
    from tasks.recognition.languages import Ballot

# With more for one language, between windows of the same, a window is not searched for others. Clear speech outvotes
# what is less clear: a window of 16 s of German by a poor voice and 13 s of English had 0.98 for English.
UNANIMOUS = 0.98
MAX_STRETCH_MS = 8_000


def with_languages(engine: Engine, chunks: Sequence[AudioChunk]) -> list[AudioChunk]:
    """Return the chunks with the languages to decode them in, cut where the language changes, in order.

    A requested language stays, and what is not spoken in it is noted. A model that detects no languages leaves the
    chunks as they are.
    """
    if not engine.detects_languages:
        return list(chunks)
    ballots = ballots_of(engine, chunks)
    parts_of = list(parts_by_language(engine, chunks, ballots))
    cut = [
        [(cut_out(chunk, part), language) for part, language in parts]
        if len(parts) > 1 and not chunk.decoding.requested_language
        else []
        for chunk, parts in zip(chunks, parts_of, strict=True)
    ]
    samples = [part.samples for parts in cut for part, _ in parts]
    alone = iter(engine.detect_languages(samples) if samples else ())
    passages: list[AudioChunk] = []
    for chunk, ballot, parts, cut_parts in zip(chunks, ballots, parts_of, cut, strict=True):
        if chunk.decoding.requested_language:
            passages.append(chunk)
            for part, language in parts:
                chunk.decoding.note_language(part, language)
            continue
        heard = [with_candidates(part, next(alone), language) for part, language in cut_parts]
        is_confirmed = len({part.languages[0][0] for part in heard}) > 1
        passages += heard if is_confirmed else [with_candidates(chunk, ballot)]
    return passages


def parts_by_language(
    engine: Engine, chunks: Sequence[AudioChunk], ballots: Sequence[Ballot]
) -> Iterator[list[tuple[Span, str]]]:
    """Yield the parts of each chunk with their languages; one part if the language does not change."""
    mains = [most_probable(ballot, chunk) for chunk, ballot in zip(chunks, ballots, strict=True)]
    for index, (chunk, ballot) in enumerate(zip(chunks, ballots, strict=True)):
        decoding, after = chunk.decoding, chunks[index + 1 : index + 2]
        follows = mains[index + 1] if after and after[0].decoding is decoding else mains[index]
        is_unanimous = ballot[mains[index]] >= UNANIMOUS
        if is_unanimous and follows == mains[index] == (decoding.language_before or follows):
            parts = [(chunk.span, mains[index])]
        else:
            parts = list(split_at_changes(engine, chunk, mains[index]))
        decoding.language_before = parts[-1][1]
        yield parts


def ballots_of(engine: Engine, chunks: Sequence[AudioChunk]) -> list[Ballot]:
    """Return the ballot of each chunk, and let the programmes that begin vote for their language; all in one call.

    The ballot of a chunk that votes is its vote.
    """
    decodings = list({id(chunk.decoding): chunk.decoding for chunk in chunks}.values())
    voters = [sample for decoding in decodings for sample in decoding.language_samples]
    others = [chunk.samples for chunk in chunks if not chunk.decoding.has_vote_of(chunk.span)]
    samples = [*voters, *others]
    detected = iter(engine.detect_languages(samples) if samples else ())
    for decoding in decodings:
        if decoding.language_samples:
            decoding.choose_language([next(detected) for _ in decoding.language_samples])
    votes = [chunk.decoding.ballots.get(chunk.span) for chunk in chunks]
    return [next(detected) if vote is None else vote for vote in votes]


def most_probable(ballot: Ballot, chunk: AudioChunk) -> str:
    """Return the most probable language of a chunk, by its ballot and the programme's vote."""
    from tasks.recognition.languages import posterior

    return next(iter(posterior(ballot, chunk.decoding.language_prior)))


def with_candidates(chunk: AudioChunk, ballot: Ballot, cut_as: str = "") -> AudioChunk:
    """Return the chunk with the languages to decode it in. `cut_as`: the language for which it was cut out."""
    from tasks.recognition.languages import after_change, candidates, posterior

    prior = chunk.decoding.language_prior
    if cut_as:
        prior = after_change(prior, cut_as)
    return replace(chunk, languages=candidates(posterior(ballot, prior)), ballot=ballot)


def split_at_changes(engine: Engine, chunk: AudioChunk, main: str) -> Iterator[tuple[Span, str]]:
    """Yield the parts of a chunk by language, in times of the programme; one part if the language does not change.

    `main` is the language of the chunk as a whole.
    """
    from tasks.recognition.languages import most_probable_sequence

    stretches = list(speech_stretches(chunk))
    if len(stretches) < 2:
        yield chunk.span, main
        return
    at_ms = chunk.span.start_ms
    within = [Span(stretch.start_ms - at_ms, stretch.end_ms - at_ms) for stretch in stretches]
    ballots = engine.detect_languages_within(chunk.samples, within)
    seconds = [stretch.duration_ms / 1000 for stretch in stretches]
    sequence = most_probable_sequence(ballots, seconds, chunk.decoding.language_prior, chunk.decoding.language_before)
    runs = [(language, list(run)) for language, run in groupby(zip(sequence, stretches, strict=True), lambda of: of[0])]
    edges = [
        at_ms,
        *((before[-1][1].end_ms + after[0][1].start_ms) // 2 for (_, before), (_, after) in pairwise(runs)),
        chunk.span.end_ms,
    ]
    for (start_ms, end_ms), (language, _) in zip(pairwise(edges), runs, strict=True):
        yield Span(start_ms, end_ms), language


def speech_stretches(chunk: AudioChunk) -> Iterator[Span]:
    """Yield the speech of a chunk in stretches short enough to have one language: cut in pauses, else where it is
    quietest."""
    for speech in chunk.speech:
        if speech.duration_ms >= MIN_PASSAGE_MS:
            yield from _split_long(chunk, speech)


def _split_long(chunk: AudioChunk, speech: Span) -> Iterator[Span]:
    from tasks.recognition.retry import split_at_quietest

    if speech.duration_ms <= MAX_STRETCH_MS:
        yield speech
        return
    first, _ = split_at_quietest(chunk.samples_of(speech))
    cut_ms = speech.start_ms + len(first) // SAMPLES_PER_MS
    yield from _split_long(chunk, Span(speech.start_ms, cut_ms))
    yield from _split_long(chunk, Span(cut_ms, speech.end_ms))


def cut_out(chunk: AudioChunk, part: Span) -> AudioChunk:
    """Return a part of the chunk as a chunk of its own."""
    (speech,) = speech_within(chunk.speech, [part])
    return replace(chunk, span=part, speech=speech, samples=chunk.samples_of(part))
