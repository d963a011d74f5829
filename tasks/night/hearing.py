"""A programme while its chunks come back from the engine, and what it comes to."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from tasks.contract import Outcome
from tasks.night.faults import own_fault
from tasks.night.records import Doubt, Preparation, RecognisedProgramme, SpokenWord, words_name
from tasks.night.shelf import Shelf
from tasks.step import StepContext
from tasks.storage.records import read_one
from tasks.transcripts.coverage import covered_ms, longest_passed_over_ms
from tasks.transcripts.spans import Span

if TYPE_CHECKING:
    import numpy as np

    from tasks.recognition import Hints, Recognition, Word
    from tasks.recognition.quality import Sign

log = structlog.get_logger()

UNTOLD_LANGUAGE = "en"  # of models that cannot tell
FEWEST_BALLOTS, MOST_BALLOTS = 3, 12


class Hearing:
    """A programme while its chunks come back."""

    def __init__(self, preparation: Preparation, language: str | None) -> None:
        self.preparation = preparation
        self._engine, self._given = "", language
        self._language_share: float | None = None
        self.chunks: tuple[Span, ...] = ()
        self.ballot_samples: list[np.ndarray] = []
        """Of each ballot, until the language is settled."""
        self._n_heard = 0
        self.n_words = self.n_chunks = self.n_doubts = self.redecoded_ms = 0
        self._words: list[SpokenWord] = []
        self._doubts: list[Doubt] = []
        self._languages: Counter[str] = Counter()  # milliseconds
        self._voted: str | None = None
        self.fault = ""
        """What this programme brought to light; then it has no words."""

    @property
    def programme(self) -> str:
        return self.preparation.arrival.programme

    @property
    def is_complete(self) -> bool:
        return self._n_heard == len(self.chunks)

    @contextmanager
    def answering(self) -> Iterator[None]:
        """A fault inside ends this programme, and not its batch."""
        try:
            yield
        except Exception as error:
            self.fault = own_fault(error)
            log.exception("a programme could not be recognised", programme=self.programme)

    def cut(self, longest_s: float, join_pause_s: float, fill: bool = False) -> None:
        """Decide what the engine will hear: chunks that cover all of the speech, cut at pauses."""
        from tasks.media.chunks import chunks
        from tasks.media.speech_activity import Pause, SpeechSegment

        segments = (
            SpeechSegment(s.start_ms, s.end_ms, tuple(Pause(at_ms, cost) for at_ms, cost in s.pauses))
            for s in self.preparation.speech
        )
        found = chunks(segments, max_ms=int(longest_s * 1000), join_ms=int(join_pause_s * 1000), fill=fill)
        self.chunks = tuple(Span(start_ms=chunk.start_ms, end_ms=chunk.end_ms) for chunk in found)

    @property
    def hints(self) -> Hints:
        """What each of its chunks is told."""
        from tasks.recognition import Hints

        return Hints(self._given or self._voted, self.preparation.vocabulary)

    @property
    def hints_again(self) -> Hints:
        """The same where all else has failed: it may be the vote that misleads."""
        from tasks.recognition import Hints

        return Hints(self._given, self.preparation.vocabulary)

    @property
    def ballots(self) -> tuple[Span, ...]:
        """The chunks that vote on the language: from the beginning to the end, one in six, as far as that is no more
        than needed and no less.
        """
        n_chunks = len(self.chunks)
        n_ballots = min(n_chunks, max(FEWEST_BALLOTS, min(MOST_BALLOTS, n_chunks // 6)))
        return tuple(self.chunks[(2 * n + 1) * n_chunks // (2 * n_ballots)] for n in range(n_ballots))

    def vote(self, languages: Iterable[dict[str, float]]) -> None:
        """Settle the language: the most probable one over all ballots, the longer counting more."""
        self.ballot_samples = []
        total: dict[str, float] = defaultdict(float)
        for ballot, probabilities in zip(self.ballots, languages, strict=False):
            for name, probability in probabilities.items():
                total[name] += probability * ballot.duration_ms
        if total:
            self._voted = max(total, key=lambda name: (total[name], name))
            self._language_share = round(total[self._voted] / sum(total.values()), 4)

    def add(self, engine: str, piece: Piece, recognition: Recognition, signs: tuple[Sign, ...], again: bool) -> None:
        """Take one chunk's words at their place in the programme. Chunks come in order."""
        span = piece.span
        self._engine = engine
        self._n_heard += 1
        self._words += [
            SpokenWord(
                text=word.text,
                start_ms=span.start_ms + word.start_ms,
                end_ms=span.start_ms + word.end_ms,
                confidence=round(word.confidence, 4),
                timing=word.timing,
            )
            for word in recognition.words
        ]
        if signs:
            self._doubts.append(Doubt(start_ms=span.start_ms, end_ms=span.end_ms, reasons=tuple(map(str, signs))))
        if again:
            self.redecoded_ms += piece.speech_ms
        if recognition.language:
            self._languages[recognition.language] += span.duration_ms

    def recall(self, shelf: Shelf) -> bool:
        """Take what an attempt before this one has recognised."""
        if uri := shelf.find(words_name(self.preparation.arrival.arrival)):
            self._count(read_one(RecognisedProgramme, uri))
        return bool(uri)

    def keep(self, shelf: Shelf) -> None:
        """Publish the programme's words, and hold them no longer.

        Its language is the one that was given, or that of most of its speech, not of its beginning. Where nothing was
        said it has none.
        """
        untold = UNTOLD_LANGUAGE if self._words else None
        spoken = self._given or max(self._languages, key=lambda name: (self._languages[name], name), default=untold)
        words = (Span(start_ms=word.start_ms, end_ms=word.end_ms) for word in self._words)
        result = RecognisedProgramme(
            arrival=self.preparation.arrival.arrival,
            engine=self._engine,
            language=spoken,
            language_share=self._language_share,
            words=tuple(self._words),
            chunks=len(self.chunks),
            doubts=tuple(self._doubts),
            covered_ms=covered_ms(self.preparation.speech, words),
            redecoded_ms=self.redecoded_ms,
        )
        shelf.keep(words_name(result.arrival), result.model_dump_json().encode() + b"\n")
        self._count(result)
        self._words, self._doubts = [], []

    def give_up(self, context: StepContext) -> None:
        """Publish that there are no words, for this attempt only."""
        result = RecognisedProgramme(
            arrival=self.preparation.arrival.arrival,
            engine=self._engine,
            language=None,
            words=(),
            outcome=Outcome.FAILED,
            detail=self.fault,
        )
        context.publish(words_name(result.arrival), result.model_dump_json().encode() + b"\n")
        self._words, self._doubts = [], []

    def _count(self, result: RecognisedProgramme) -> None:
        self.n_words, self.n_chunks, self.n_doubts = len(result.words), result.chunks, len(result.doubts)
        self.redecoded_ms = result.redecoded_ms


@dataclass(frozen=True)
class Piece:
    """One chunk on its way to the engine."""

    hearing: Hearing
    span: Span
    speech: tuple[Span, ...]
    """Inside `span`, on the programme's time line."""
    samples: np.ndarray
    """`(n_samples,)` float32, 16 kHz."""

    @property
    def speech_ms(self) -> int:
        return sum(stretch.duration_ms for stretch in self.speech)

    def doubts(self, words: Sequence[Word]) -> tuple[Sign, ...]:
        """What speaks against `words` as its recognition."""
        from tasks.recognition.quality import doubts

        at_ms = self.span.start_ms
        spans = (Span(start_ms=at_ms + word.start_ms, end_ms=at_ms + word.end_ms) for word in words)
        passed_over_s = longest_passed_over_ms(self.speech, spans) / 1000
        return doubts(words, self.span.duration_ms / 1000, self.speech_ms / 1000, passed_over_s)
