"""The recognition of one programme: its chunks, its language and the recognised words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from tasks.audio import SAMPLES_PER_MS
from tasks.contract import Outcome
from tasks.night.faults import describe_or_reraise
from tasks.night.kept_outputs import KeptOutputs
from tasks.night.records import (
    LanguagePassage,
    Preparation,
    ProgrammeWord,
    RecognisedProgramme,
    SuspectChunk,
    words_name,
)
from tasks.recognition import Hints, RecognisedWord, Recognition
from tasks.recognition.languages import DEFAULT_LANGUAGE, dissent, programme_prior
from tasks.step import StepContext
from tasks.storage.records import read_one
from tasks.transcripts.coverage import covered_ms, uncovered
from tasks.transcripts.spans import Span, total_ms
from tasks.transcripts.text import primary_language

if TYPE_CHECKING:
    import numpy as np

    from tasks.recognition.languages import Ballot
    from tasks.recognition.quality import QualityFlag

log = structlog.get_logger()

REQUESTED_PRIOR = 0.95  # of a requested language, when passages in others are looked for
MIN_PASSAGE_MS = 1_500  # the languages of less are guesses
MAX_WORD_MS, MAX_SIGN_MS = 2_000, 1_000  # of a word, and of each digit or letter of a spelled one
MIN_LANGUAGE_CHUNKS, MAX_LANGUAGE_CHUNKS = 3, 12


class ProgrammeDecoding:
    """One programme's state while the engine decodes its chunks."""

    def __init__(self, preparation: Preparation, language: str | None) -> None:
        """`language`: the requested one; None to detect it."""
        self.preparation = preparation
        self._engine, self.requested_language = "", language
        self.language_prior: dict[str, float] = {primary_language(language): REQUESTED_PRIOR} if language else {}
        """How probable each language is before a chunk is heard."""
        self.language_before = ""
        """The language at the end of the latest chunk."""
        self._language_share: float | None = None
        self._passages: list[LanguagePassage] = []
        self._other_languages: dict[Span, str] = {}
        self.chunks: tuple[Span, ...] = ()
        self.language_samples: list[np.ndarray] = []
        """Audio of each language chunk, `(n_samples,)`, until the language is detected."""
        self.ballots: dict[Span, Ballot] = {}
        """The probability of each language in the language chunks."""
        self._n_decoded = self._decoded_until_ms = 0
        self.n_words = self.n_chunks = self.n_suspect = self.redecoded_ms = 0
        self._words: list[ProgrammeWord] = []
        self._suspect_chunks: list[SuspectChunk] = []
        self._duration_by_language: Counter[str] = Counter()  # milliseconds
        self.error = ""
        """Why the programme failed; empty if it did not. A failed programme has no words."""

    @property
    def programme(self) -> str:
        return self.preparation.arrival.programme

    @property
    def is_complete(self) -> bool:
        return not self.chunks or self._decoded_until_ms == self.chunks[-1].end_ms

    @contextmanager
    def isolate_errors(self) -> Iterator[None]:
        """Record an exception of the block as this programme's failure, so that the rest of the batch continues.

        Errors that concern the whole step are raised.
        """
        try:
            yield
        except Exception as error:
            self.error = describe_or_reraise(error)
            log.exception("a programme could not be recognised", programme=self.programme)

    def cut_into_chunks(self, max_chunk_s: float, join_pause_s: float, fill: bool = False) -> None:
        """Cut the speech into the chunks to decode, at pauses.

        `join_pause_s`: segments closer than this share a chunk. `fill`: see `tasks.media.chunks.chunks`.
        """
        from tasks.media.chunks import chunks
        from tasks.media.speech_activity import Pause, SpeechSegment

        segments = (
            SpeechSegment(s.start_ms, s.end_ms, tuple(Pause(at_ms, cost) for at_ms, cost in s.pauses))
            for s in self.preparation.speech
        )
        cut = chunks(segments, max_ms=int(max_chunk_s * 1000), join_ms=int(join_pause_s * 1000), fill=fill)
        self.chunks = tuple(Span(start_ms=chunk.start_ms, end_ms=chunk.end_ms) for chunk in cut)

    @property
    def language_chunks(self) -> tuple[Span, ...]:
        """The chunks in which the language is detected: one in six, within limits, spread over the whole programme."""
        n_chunks = len(self.chunks)
        n = min(n_chunks, max(MIN_LANGUAGE_CHUNKS, min(MAX_LANGUAGE_CHUNKS, n_chunks // 6)))
        # The middle chunk of each of n equal parts.
        return tuple(self.chunks[(2 * index + 1) * n_chunks // (2 * n)] for index in range(n))

    def has_vote_of(self, span: Span) -> bool:
        """Whether the programme's language is chosen, or will be, by this chunk too."""
        return span in self.ballots or bool(self.language_samples and span in self.language_chunks)

    def choose_language(self, ballots: Sequence[Ballot]) -> None:
        """Set the prior of the programme's languages to the vote of the language chunks, weighted by their duration."""
        self.language_samples = []
        self.ballots = dict(zip(self.language_chunks, ballots, strict=True))
        seconds = [chunk.duration_ms / 1000 for chunk in self.language_chunks]
        self.language_prior = programme_prior(zip(ballots, seconds, strict=True))
        total: Counter[str] = Counter()
        for ballot, duration_s in zip(ballots, seconds, strict=True):
            total.update({language: probability * duration_s for language, probability in ballot.items()})
        self._language_share = round(max(total.values()) / sum(total.values()), 4)

    def note_language(self, span: Span, language: str) -> None:
        """Note a passage that sounds like another language than the one in which it is decoded."""
        is_requested = primary_language(self.requested_language or "") == language
        if span.duration_ms >= MIN_PASSAGE_MS and not is_requested:
            self._other_languages[span] = language

    def add(self, engine: str, decoded: DecodedChunk) -> None:
        """Add one chunk's words, with times of the programme. Chunks are added in order."""
        from tasks.recognition.spoken_words import as_spoken

        chunk, recognition = decoded.chunk, decoded.recognition
        span = chunk.span
        self._engine = engine
        self._n_decoded, self._decoded_until_ms = self._n_decoded + 1, span.end_ms
        self._words += [
            ProgrammeWord(
                text=word.text,
                start_ms=span.start_ms + word.start_ms,
                end_ms=span.start_ms + word.end_ms,
                confidence=round(word.confidence, 4),
                timing=word.timing,
            )
            for word in as_spoken(recognition.words, chunk.samples, chunk.speech_inside)
        ]
        if decoded.flags:
            flags = tuple(map(str, decoded.flags))
            self._suspect_chunks.append(SuspectChunk(start_ms=span.start_ms, end_ms=span.end_ms, flags=flags))
        if decoded.redecoded:
            self.redecoded_ms += chunk.speech_ms
        if recognition.language:
            self._duration_by_language[recognition.language] += span.duration_ms
            passage = LanguagePassage(start_ms=span.start_ms, end_ms=span.end_ms, language=recognition.language)
            self._passages = join_passages([*self._passages, passage])
            if other := dissent(chunk.ballot, recognition.language):
                self.note_language(span, other)

    def load_kept(self, outputs: KeptOutputs) -> bool:
        """Load the result that an earlier attempt kept. Return False if there is none."""
        if uri := outputs.find(words_name(self.preparation.arrival.id)):
            self._count(read_one(RecognisedProgramme, uri))
        return bool(uri)

    def keep(self, outputs: KeptOutputs) -> None:
        """Publish the programme's words, and free their memory."""
        result = self.result()
        outputs.keep(words_name(result.arrival), result.model_dump_json().encode() + b"\n")
        self._count(result)
        self._words, self._suspect_chunks = [], []

    def result(self) -> RecognisedProgramme:
        """Return the programme's words.

        The language is the requested one, else the one recognised for most of the audio, else `DEFAULT_LANGUAGE`; None
        if nothing was requested, recognised or transcribed.
        """
        durations = self._duration_by_language
        language = self.requested_language or max(
            durations, key=lambda name: (durations[name], name), default=DEFAULT_LANGUAGE if self._words else None
        )
        words = spoken_spans(self._words)
        others = sorted(self._other_languages.items(), key=lambda item: item[0].start_ms)
        return RecognisedProgramme(
            arrival=self.preparation.arrival.id,
            engine=self._engine,
            language=language,
            language_share=self._language_share,
            passages=tuple(self._passages),
            sounds_like=tuple(
                join_passages(
                    [LanguagePassage(start_ms=s.start_ms, end_ms=s.end_ms, language=other) for s, other in others]
                )
            ),
            words=tuple(self._words),
            chunks=self._n_decoded,
            suspect_chunks=tuple(self._suspect_chunks),
            covered_ms=covered_ms(self.preparation.speech, words),
            passed_over_ms=total_ms(uncovered(self.preparation.speech, words)),
            redecoded_ms=self.redecoded_ms,
        )

    def publish_failure(self, context: StepContext) -> None:
        """Publish a failed result in this attempt's folder, so that the next attempt tries the programme again."""
        result = RecognisedProgramme(
            arrival=self.preparation.arrival.id,
            engine=self._engine,
            language=None,
            words=(),
            outcome=Outcome.FAILED,
            detail=self.error,
        )
        context.publish(words_name(result.arrival), result.model_dump_json().encode() + b"\n")
        self._words, self._suspect_chunks = [], []

    def _count(self, result: RecognisedProgramme) -> None:
        self.n_words, self.n_chunks, self.n_suspect = len(result.words), result.chunks, len(result.suspect_chunks)
        self.redecoded_ms = result.redecoded_ms


def join_passages(passages: Sequence[LanguagePassage]) -> list[LanguagePassage]:
    """Join neighbours of one language."""
    joined: list[LanguagePassage] = []
    for passage in passages:
        if joined and joined[-1].language == passage.language:
            joined[-1] = joined[-1].model_copy(update={"end_ms": passage.end_ms})
        else:
            joined.append(passage)
    return joined


@dataclass(frozen=True)
class AudioChunk:
    """One chunk with its audio."""

    decoding: ProgrammeDecoding
    span: Span
    speech: tuple[Span, ...]
    """The speech inside `span`, in times of the programme."""
    samples: np.ndarray
    """`(n_samples,)` float32, 16 kHz."""
    languages: tuple[tuple[str, float], ...] = ()
    """The languages to decode it in, with their probabilities, best first; empty: the requested one, if any."""
    ballot: Mapping[str, float] = field(default_factory=dict)
    """The probability of each language by this chunk alone."""

    def samples_of(self, part: Span) -> np.ndarray:
        """Return the samples of a part, which is given in times of the programme."""
        at_ms = self.span.start_ms
        return self.samples[(part.start_ms - at_ms) * SAMPLES_PER_MS : (part.end_ms - at_ms) * SAMPLES_PER_MS]

    def hints(self, rank: int = 0) -> Hints:
        """The hints for decoding: vocabulary, and the requested language or the one of this rank."""
        detected = self.languages[rank][0] if self.languages else None
        return Hints(self.decoding.requested_language or detected, self.decoding.preparation.vocabulary)

    @property
    def speech_ms(self) -> int:
        return sum(stretch.duration_ms for stretch in self.speech)

    @property
    def speech_inside(self) -> tuple[Span, ...]:
        """The speech, in times of the chunk."""
        at_ms = self.span.start_ms
        return tuple(Span(stretch.start_ms - at_ms, stretch.end_ms - at_ms) for stretch in self.speech)

    def passed_over(self, words: Sequence[RecognisedWord]) -> list[Span]:
        """Return the stretches of speech that are far from any word, in times of the programme."""
        return list(uncovered(self.speech, spoken_spans(words, self.span.start_ms)))

    def covered_ms(self, words: Sequence[RecognisedWord]) -> int:
        """Return how much of the speech is near a word."""
        return covered_ms(self.speech, spoken_spans(words, self.span.start_ms))

    def quality_flags(self, words: Sequence[RecognisedWord]) -> tuple[QualityFlag, ...]:
        """Return the quality checks that the chunk fails if `words` are its recognition."""
        from tasks.recognition.quality import quality_flags

        passed_over_s = total_ms(self.passed_over(words)) / 1000
        return quality_flags(words, self.span.duration_ms / 1000, self.speech_ms / 1000, passed_over_s)


def spoken_spans(words: Iterable[RecognisedWord | ProgrammeWord], at_ms: int = 0) -> list[Span]:
    """Return where words are spoken, moved by `at_ms`: of a word longer than a person can say it, only both ends.

    Whisper base skipped four sentences and stretched the next word over their 20 s.
    """
    spans = []
    for word in words:
        start_ms, end_ms = at_ms + word.start_ms, at_ms + word.end_ms
        n_signs = sum(character.isalnum() and not character.islower() for character in word.text)
        if end_ms - start_ms <= max(MAX_WORD_MS, MAX_SIGN_MS * n_signs):
            spans.append(Span(start_ms, end_ms))
        else:
            spans += [Span(start_ms, start_ms + MAX_WORD_MS // 2), Span(end_ms - MAX_WORD_MS // 2, end_ms)]
    return spans


@dataclass(frozen=True)
class DecodedChunk:
    """One chunk with its recognition."""

    chunk: AudioChunk
    recognition: Recognition
    flags: tuple[QualityFlag, ...]
    redecoded: bool
    """Whether a fallback was tried, successfully or not."""
