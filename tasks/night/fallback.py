"""Decoding with fallbacks: chunks that fail the quality gate are decoded in other ways, and errors are isolated."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import structlog

from tasks.audio import SAMPLES_PER_MS
from tasks.night.decoding import AudioChunk, DecodedChunk
from tasks.night.faults import describe_or_reraise
from tasks.night.passages import cut_out, speech_stretches, with_languages
from tasks.transcripts.coverage import REACH_MS
from tasks.transcripts.spans import Span, union

if TYPE_CHECKING:
    from tasks.recognition import Engine, Recognition
    from tasks.recognition.quality import QualityFlag

log = structlog.get_logger()

MIN_HALVED_MS = 6_000  # halves of less have too little context
MAX_GAP_ROUNDS = 3  # Whisper base heard one of three sentences a round
MAX_LOST_MS = 500  # of speech that had words: more, and the flags of those words stay


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
    """Decode chunks in their languages, and those that fail the quality gate again.

    Text that looks invented or is improbable is heard in two halves, which breaks a repetition loop and gives each half
    its own normalisation, then in halves with the engine's fallback decoding. Speech without text is heard alone.
    What remains suspect is kept and marked.
    """
    passages = with_languages(engine, chunks)
    hearings = [Hearing(chunk, recognition) for chunk, recognition in zip(*hear(engine, passages), strict=True)]
    suspect = [index for index, hearing in enumerate(hearings) if hearing.flags or hearing.gaps()]
    for fallback in (False, True):
        failing = [index for index in suspect if hearings[index].is_worth_halving]
        again = decode_halves(engine, [hearings[index].chunk for index in failing], fallback)
        for index, recognition in zip(failing, again, strict=True):
            hearings[index] = hearings[index].or_better(recognition)
    fill_gaps(engine, hearings)
    for index, hearing in enumerate(hearings):
        yield DecodedChunk(hearing.chunk, hearing.recognition, hearing.flags, index in suspect)


def hear(engine: Engine, chunks: list[AudioChunk]) -> tuple[list[AudioChunk], list[Recognition]]:
    """Decode each chunk once, or in both languages that it may be in: the text decides, by its probability.

    Return the chunks with the language that was chosen, and their recognitions.
    """
    found = engine.recognise([chunk.samples for chunk in chunks], [chunk.hints() for chunk in chunks])
    chosen = list(chunks)
    open_choices = [index for index, chunk in enumerate(chunks) if len(chunk.languages) > 1]
    if not open_choices:
        return chosen, found
    others = engine.recognise(
        [chunks[index].samples for index in open_choices], [chunks[index].hints(1) for index in open_choices]
    )
    for index, other in zip(open_choices, others, strict=True):
        first, second = chunks[index].languages
        if joint_probability(other, second[1]) > joint_probability(found[index], first[1]):
            found[index], first = other, second
        chosen[index] = replace(chunks[index], languages=(first,))
    return chosen, found


def joint_probability(recognition: Recognition, language_probability: float) -> float:
    """Return the logarithm of the probability that the language is spoken and the text is said."""
    if not recognition.words:
        return -math.inf
    return recognition.log_probability + math.log(max(language_probability, 1e-9))


@dataclass(frozen=True)
class Hearing:
    """A chunk with the best recognition so far."""

    chunk: AudioChunk
    recognition: Recognition
    kept: frozenset[QualityFlag] = frozenset()
    """Flags of an earlier recognition that this one does not resolve."""

    @cached_property
    def flags(self) -> tuple[QualityFlag, ...]:
        found = self.chunk.quality_flags(self.recognition.words)
        return (*found, *sorted(self.kept - set(found)))

    @property
    def is_worth_halving(self) -> bool:
        """Whether other text may be heard in halves: a short chunk that is merely improbable says the same again."""
        from tasks.recognition.quality import INVENTED, QualityFlag

        is_long = self.chunk.span.duration_ms >= MIN_HALVED_MS
        return bool(INVENTED & set(self.flags)) or (is_long and QualityFlag.IMPROBABLE in self.flags)

    def or_better(self, recognition: Recognition) -> Hearing:
        """Return this hearing, or another one of the same chunk if that has more of what was surely said.

        Words are replaced by none only where there is no speech. Speech that has no words any more keeps the flags.
        """
        from tasks.recognition.quality import INVENTED, QualityFlag

        other = Hearing(self.chunk, recognition)
        mine, theirs = INVENTED & set(self.flags), INVENTED & set(other.flags)
        if not recognition.words and QualityFlag.WORDS_WITHOUT_SPEECH not in mine:
            return self
        has_more = sum(w.confidence for w in recognition.words) > sum(w.confidence for w in self.recognition.words)
        if len(theirs) >= len(mine) and (theirs or not has_more):
            return self
        lost_ms = self.chunk.covered_ms(self.recognition.words) - self.chunk.covered_ms(recognition.words)
        return replace(other, kept=frozenset(self.flags if lost_ms > MAX_LOST_MS else ()))

    def gaps(self) -> list[Span]:
        """Return the stretches of speech without text that are to be heard alone, from word to word.

        A chunk without any word would say the same again: of that, the stretches it consists of, if there are several.
        """
        at_ms, words = self.chunk.span.start_ms, self.recognition.words
        lost = self.chunk.passed_over(words)
        if not words:
            return self.stretches_in(self.chunk.span) if lost else []
        found = []
        for stretch in lost:
            before = [at_ms + word.end_ms for word in words if at_ms + word.end_ms <= stretch.start_ms]
            after = [at_ms + word.start_ms for word in words if at_ms + word.start_ms >= stretch.end_ms]
            start_ms = max([at_ms, stretch.start_ms - REACH_MS, *before])
            found.append(Span(start_ms, min([self.chunk.span.end_ms, stretch.end_ms + REACH_MS, *after])))
        return union(found)

    def stretches_in(self, gap: Span) -> list[Span]:
        """Return the stretches of speech in a gap, if there are several."""
        stretches = list(speech_stretches(cut_out(self.chunk, gap)))
        return stretches if len(stretches) > 1 else []

    def with_gap(self, gap: Span, recognition: Recognition) -> Hearing:
        """Return this hearing with what was heard in a gap, unless that looks invented or nobody speaks there."""
        from tasks.media.speech_activity import has_speech
        from tasks.recognition.quality import INVENTED, QualityFlag
        from tasks.recognition.retry import fill_gap

        part = cut_out(self.chunk, gap)
        flags = set(part.quality_flags(recognition.words))
        if not recognition.words or INVENTED & flags or not has_speech(part.samples):
            return self
        at_ms = self.chunk.span.start_ms
        filled = fill_gap(self.recognition, recognition, gap.start_ms - at_ms, gap.end_ms - at_ms)
        return replace(self, recognition=filled, kept=self.kept | (flags & {QualityFlag.IMPROBABLE}))


def decode_halves(engine: Engine, chunks: list[AudioChunk], fallback: bool) -> Iterator[Recognition]:
    """Decode each chunk in two halves, in the language of the whole."""
    from tasks.recognition.retry import join_halves, split_at_quietest

    halves = [split_at_quietest(chunk.samples) for chunk in chunks]
    hints = [chunk.hints() for chunk in chunks for _ in range(2)]
    recognitions = engine.recognise([half for pair in halves for half in pair], hints, fallback) if chunks else []
    for index, (first, _) in enumerate(halves):
        yield join_halves(recognitions[2 * index], recognitions[2 * index + 1], len(first) // SAMPLES_PER_MS)


def fill_gaps(engine: Engine, hearings: list[Hearing]) -> None:
    """Hear each stretch of speech without text alone, in the language of its chunk, and what is left of it again.

    A gap that brought nothing is heard in parts: four sentences of another reader made a repetition loop.
    """
    heard: set[tuple[int, Span]] = set()
    for _ in range(MAX_GAP_ROUNDS):
        found = [
            (index, part)
            for index, hearing in enumerate(hearings)
            for gap in hearing.gaps()
            for part in (hearing.stretches_in(gap) if (index, gap) in heard else [gap])
        ]
        gaps = [gap for gap in found if gap not in heard]
        if not gaps:
            return
        heard.update(gaps)
        samples = [hearings[index].chunk.samples_of(gap) for index, gap in gaps]
        recognitions = engine.recognise(samples, [hearings[index].chunk.hints() for index, _ in gaps])
        for (index, gap), recognition in zip(gaps, recognitions, strict=True):
            hearings[index] = hearings[index].with_gap(gap, recognition)
