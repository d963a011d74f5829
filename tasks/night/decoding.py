"""The recognition of one programme: its chunks, its language and the recognised words."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from tasks.contract import Outcome
from tasks.night.faults import describe_or_reraise
from tasks.night.kept_outputs import KeptOutputs
from tasks.night.records import Preparation, ProgrammeWord, RecognisedProgramme, SuspectChunk, words_name
from tasks.recognition import Hints, RecognisedWord, Recognition
from tasks.step import StepContext
from tasks.storage.records import read_one
from tasks.transcripts.coverage import covered_ms, longest_uncovered_ms
from tasks.transcripts.spans import Span

if TYPE_CHECKING:
    import numpy as np

    from tasks.recognition.quality import QualityFlag

log = structlog.get_logger()

DEFAULT_LANGUAGE = "en"  # if the model cannot detect the language
MIN_LANGUAGE_CHUNKS, MAX_LANGUAGE_CHUNKS = 3, 12


class ProgrammeDecoding:
    """One programme's state while the engine decodes its chunks."""

    def __init__(self, preparation: Preparation, language: str | None) -> None:
        """`language`: the requested one; None to detect it."""
        self.preparation = preparation
        self._engine, self._requested_language = "", language
        self._detected_language: str | None = None
        self._language_share: float | None = None
        self.chunks: tuple[Span, ...] = ()
        self.language_samples: list[np.ndarray] = []
        """Audio of each language chunk, `(n_samples,)`, until the language is detected."""
        self._n_decoded = 0
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
        return self._n_decoded == len(self.chunks)

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
    def hints(self) -> Hints:
        """The hints for every chunk: language and vocabulary."""
        return Hints(self._requested_language or self._detected_language, self.preparation.vocabulary)

    @property
    def fallback_hints(self) -> Hints:
        """The hints for the fallback: without the detected language, which may be wrong."""
        return Hints(self._requested_language, self.preparation.vocabulary)

    @property
    def language_chunks(self) -> tuple[Span, ...]:
        """The chunks in which the language is detected: one in six, within limits, spread over the whole programme."""
        n_chunks = len(self.chunks)
        n = min(n_chunks, max(MIN_LANGUAGE_CHUNKS, min(MAX_LANGUAGE_CHUNKS, n_chunks // 6)))
        # The middle chunk of each of n equal parts.
        return tuple(self.chunks[(2 * index + 1) * n_chunks // (2 * n)] for index in range(n))

    def choose_language(self, probabilities: Iterable[dict[str, float]]) -> None:
        """Choose the most probable language over the language chunks, weighted by their duration."""
        self.language_samples = []
        total: dict[str, float] = defaultdict(float)
        # Not strict: an engine that does not detect languages returns nothing.
        for chunk, by_language in zip(self.language_chunks, probabilities, strict=False):
            for language, probability in by_language.items():
                total[language] += probability * chunk.duration_ms
        if total:
            self._detected_language = max(total, key=lambda language: (total[language], language))
            self._language_share = round(total[self._detected_language] / sum(total.values()), 4)

    def add(self, engine: str, decoded: DecodedChunk) -> None:
        """Add one chunk's words, with times of the programme. Chunks are added in order."""
        chunk, recognition = decoded.chunk, decoded.recognition
        span = chunk.span
        self._engine = engine
        self._n_decoded += 1
        self._words += [
            ProgrammeWord(
                text=word.text,
                start_ms=span.start_ms + word.start_ms,
                end_ms=span.start_ms + word.end_ms,
                confidence=round(word.confidence, 4),
                timing=word.timing,
            )
            for word in recognition.words
        ]
        if decoded.flags:
            flags = tuple(map(str, decoded.flags))
            self._suspect_chunks.append(SuspectChunk(start_ms=span.start_ms, end_ms=span.end_ms, flags=flags))
        if decoded.redecoded:
            self.redecoded_ms += chunk.speech_ms
        if recognition.language:
            self._duration_by_language[recognition.language] += span.duration_ms

    def load_kept(self, outputs: KeptOutputs) -> bool:
        """Load the result that an earlier attempt kept. Return False if there is none."""
        if uri := outputs.find(words_name(self.preparation.arrival.id)):
            self._count(read_one(RecognisedProgramme, uri))
        return bool(uri)

    def keep(self, outputs: KeptOutputs) -> None:
        """Publish the programme's words, and free their memory.

        The language is the requested one, else the one recognised for most of the audio, else `DEFAULT_LANGUAGE`; None
        if nothing was requested, recognised or transcribed.
        """
        durations = self._duration_by_language
        language = self._requested_language or max(
            durations, key=lambda name: (durations[name], name), default=DEFAULT_LANGUAGE if self._words else None
        )
        words = (Span(start_ms=word.start_ms, end_ms=word.end_ms) for word in self._words)
        result = RecognisedProgramme(
            arrival=self.preparation.arrival.id,
            engine=self._engine,
            language=language,
            language_share=self._language_share,
            words=tuple(self._words),
            chunks=len(self.chunks),
            suspect_chunks=tuple(self._suspect_chunks),
            covered_ms=covered_ms(self.preparation.speech, words),
            redecoded_ms=self.redecoded_ms,
        )
        outputs.keep(words_name(result.arrival), result.model_dump_json().encode() + b"\n")
        self._count(result)
        self._words, self._suspect_chunks = [], []

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


@dataclass(frozen=True)
class AudioChunk:
    """One chunk with its audio."""

    decoding: ProgrammeDecoding
    span: Span
    speech: tuple[Span, ...]
    """The speech inside `span`, in times of the programme."""
    samples: np.ndarray
    """`(n_samples,)` float32, 16 kHz."""

    @property
    def speech_ms(self) -> int:
        return sum(stretch.duration_ms for stretch in self.speech)

    def quality_flags(self, words: Sequence[RecognisedWord]) -> tuple[QualityFlag, ...]:
        """Return the quality checks that the chunk fails if `words` are its recognition."""
        from tasks.recognition.quality import quality_flags

        at_ms = self.span.start_ms
        spans = (Span(start_ms=at_ms + word.start_ms, end_ms=at_ms + word.end_ms) for word in words)
        uncovered_s = longest_uncovered_ms(self.speech, spans) / 1000
        return quality_flags(words, self.span.duration_ms / 1000, self.speech_ms / 1000, uncovered_s)


@dataclass(frozen=True)
class DecodedChunk:
    """One chunk with its recognition."""

    chunk: AudioChunk
    recognition: Recognition
    flags: tuple[QualityFlag, ...]
    redecoded: bool
    """Whether a fallback was tried, successfully or not."""
