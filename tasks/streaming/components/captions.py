"""captions: settled words to captions, WebVTT segments, and at the session's end the published transcript.

    <live>/<session>/passages/000000.json    words that belong together, each written once
                    /captions-000000.vtt      segments of six seconds, and captions.m3u8 that lists them
    <transcripts>/<session>/<key>/            at the end, as the night publishes

What is written carries its number and follows from the messages, so writing it again changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from tasks import storage
from tasks.contract import Frozen, Outcome, Reason, digest_of
from tasks.contract.events import (
    Caption,
    CaptionFinal,
    CaptionPartial,
    CaptionWord,
    TranscriptFailed,
    TranscriptPublished,
)
from tasks.publishing.transcripts import publish_transcript, published_transcript, put_if_absent
from tasks.step import code_version
from tasks.storage.records import read_one
from tasks.streaming.components import hls
from tasks.streaming.runtime.messages import LiveSpan, LiveTurn, LiveWord, LiveWords, State
from tasks.streaming.runtime.session import Component, Outgoing
from tasks.transcripts.coverage import covered_ms
from tasks.transcripts.cues.cutting import cut
from tasks.transcripts.document import (
    Coverage,
    Media,
    Provenance,
    Transcript,
    TranscriptWarning,
    WarningCode,
    Word,
    WordTiming,
)
from tasks.transcripts.merging import with_monotonic_times, into_segments, speakers_in, with_speakers
from tasks.transcripts.sentences import with_capitals
from tasks.transcripts.spans import Span, Turn
from tasks.transcripts.text import clean, join

VERSION = 1
LONGEST_PASSAGE_MS = 5_000  # what is cut into cues at once: longer cuts better, and is seen later in WebVTT
TURNS_KEPT_MS = 60_000
LINGER_MS = 1_000  # a passage's last cue may stay so long after its last word
UNNAMED = "0" * 64
NAME_IS_TAKEN = "another broadcast has this name already: feed it under another"

log = structlog.get_logger()


class Passage(Frozen):
    """Words in a row, with what was known of them when they settled."""

    words: tuple[LiveWord, ...]
    spoken: tuple[LiveSpan, ...] = ()
    turns: tuple[LiveTurn, ...] = ()
    """Those that became final."""


class CaptionsState(State):
    session: str
    n_final: int = 0
    n_partial: int = 0
    partial: str = ""
    """What the last partial caption said."""
    before: LiveWord | None = None
    """The last word of the passage before."""
    open: tuple[LiveWord, ...] = ()
    spoken: tuple[LiveSpan, ...] = ()
    final_turns: tuple[LiveTurn, ...] = ()
    turns: tuple[LiveTurn, ...] = ()
    """The recent ones, final or not."""
    n_passages: int = 0
    n_segments: int = 0
    cues: tuple[hls.ShownCue, ...] = ()
    """Those that segments to come may show."""
    cue_end_ms: int = 0
    is_refused: bool = False
    """Another broadcast has the session's name."""


@dataclass(frozen=True)
class Places:
    """Where captions go, and what language they are in."""

    live: str
    transcripts: str
    language: str = "en"


class CaptionsSession:
    """One session."""

    def __init__(self, places: Places, session: str, saved: bytes | None = None) -> None:
        self.state = CaptionsState.model_validate_json(saved) if saved else CaptionsState(session=session)
        self._places = places
        self._folder = storage.join(places.live, session)

    def save(self) -> bytes:
        return self.state.model_dump_json().encode()

    def push(self, message: LiveWords) -> Iterator[Outgoing]:
        state = self.state
        if not state.is_refused:
            yield from self._hear(message)
        if message.is_last:
            yield self._refusal() if state.is_refused else self._publish(message)

    def _hear(self, message: LiveWords) -> Iterator[Outgoing]:
        state = self.state
        self._take_turns(message.turns, message.end_ms)
        if message.committed:
            yield self._caption(CaptionFinal, state.n_final, message.committed, message)
            state.n_final += 1
        if (pending := _text(message.pending, self._places.language)) != state.partial:
            yield self._caption(CaptionPartial, state.n_partial, message.pending, message)
            state.n_partial, state.partial = state.n_partial + 1, pending
        state.open += message.committed
        if message.spoken:
            state.spoken += (message.spoken,)
        is_long = state.open and state.open[-1].end_ms - state.open[0].start_ms >= LONGEST_PASSAGE_MS
        if message.spoken or is_long or message.is_last:
            self._close_passage()
        if state.is_refused:
            return
        self._show(state.open[0].start_ms if state.open else message.settled_ms)
        if message.is_last:
            self._show(message.end_ms, is_last=True)

    def _caption(self, kind: type[Caption], sequence: int, words: Sequence[LiveWord], message: LiveWords) -> Caption:
        spoken = self._with_speakers(words, self.state.turns)
        return kind(
            session=self.state.session,
            sequence=sequence,
            start_ms=spoken[0].start_ms if spoken else message.settled_ms,
            end_ms=spoken[-1].end_ms if spoken else message.settled_ms,
            text=_text(words, self._places.language),
            words=tuple(
                CaptionWord(
                    text=word.text,
                    start_ms=word.start_ms,
                    end_ms=word.end_ms,
                    confidence=word.confidence or 0.0,
                    speaker=word.speaker,
                )
                for word in spoken
            ),
            captured_at=message.captured_at,
        )

    def _take_turns(self, turns: Sequence[LiveTurn], now_ms: int) -> None:
        """A turn replaces the provisional ones that it covers."""
        state = self.state
        if not turns:
            return
        begins_ms = min(turn.start_ms for turn in turns)
        kept = [
            turn
            for turn in state.turns
            if (turn.is_final or turn.start_ms < begins_ms) and turn.end_ms > now_ms - TURNS_KEPT_MS
        ]
        state.turns = (*kept, *turns)
        state.final_turns += tuple(turn for turn in turns if turn.is_final)

    @staticmethod
    def _with_speakers(words: Sequence[LiveWord], turns: Sequence[LiveTurn]) -> tuple[Word, ...]:
        return with_speakers(_words(words), [Turn(t.start_ms, t.end_ms, t.speaker) for t in turns])

    def _close_passage(self) -> None:
        """Write the open words down, and cut them into cues."""
        state = self.state
        if not (state.open or state.spoken or state.final_turns):
            return
        passage = Passage(words=state.open, spoken=state.spoken, turns=state.final_turns)
        uri, meant = self._uri(f"passages/{state.n_passages:06d}.json"), passage.model_dump_json().encode() + b"\n"
        # A session that goes on after a crash may have settled on other words for a moment, but begins with the same.
        if put_if_absent(uri, meant) != meant and not state.n_passages:
            state.is_refused = True
            log.error("a session is refused", session=state.session, why=NAME_IS_TAKEN, passage=uri)
            return
        if state.open:
            # The word before tells whether a sentence begins here.
            context = (state.before,) if state.before else ()
            words = with_capitals(self._with_speakers(context + state.open, state.turns), self._places.language)
            words = words[len(context) :]
            for cue in cut(self._transcript(words, words[-1].end_ms)):
                shown = hls.ShownCue.of(cue, state.cue_end_ms)
                latest_ms = max(words[-1].end_ms + LINGER_MS, shown.start_ms + 1)
                shown = shown.model_copy(update={"end_ms": min(shown.end_ms, latest_ms)})
                state.cues += (shown,)
                state.cue_end_ms = shown.end_ms
            state.before = state.open[-1]
        state.n_passages += 1
        state.open, state.spoken, state.final_turns = (), (), ()

    def _show(self, until_ms: int, is_last: bool = False) -> None:
        """Publish the segments that lie before `until_ms`; at the end, also the one that began before it."""
        state = self.state
        n_segments = -(-until_ms // hls.SEGMENT_MS) if is_last else until_ms // hls.SEGMENT_MS
        if n_segments <= state.n_segments and not is_last:
            return
        for number in range(state.n_segments, n_segments):
            put_if_absent(self._uri(hls.segment_name(number)), hls.segment(number, state.cues))
        state.n_segments = max(state.n_segments, n_segments)
        state.cues = tuple(cue for cue in state.cues if cue.end_ms > state.n_segments * hls.SEGMENT_MS)
        uri = self._uri(hls.PLAYLIST)
        # Said again after a crash, the list must not become shorter than players have seen it.
        if is_last or not storage.exists(uri) or hls.count_segments(storage.read_bytes(uri)) < state.n_segments:
            storage.write(uri, hls.playlist(state.n_segments, until_ms if is_last else None))

    def _publish(self, message: LiveWords) -> TranscriptPublished:
        """The whole session through the night's publishing. Its identity is the audio and the model."""
        session = self.state.session
        passages = [
            read_one(Passage, self._uri(f"passages/{number:06d}.json")) for number in range(self.state.n_passages)
        ]
        live = [word for passage in passages for word in passage.words]
        turns = [turn for passage in passages for turn in passage.turns]
        words = with_capitals(with_monotonic_times(self._with_speakers(live, turns), message.end_ms), self._places.language)
        speech = [Span(start_ms=span.start_ms, end_ms=span.end_ms) for passage in passages for span in passage.spoken]
        transcript = self._transcript(words, message.end_ms, message, tuple(speech), has_speakers=bool(turns))
        key = digest_of({"live": VERSION, "audio": message.digest, "model": message.model_version})
        manifest_uri = publish_transcript(transcript, session, key, self._places.transcripts)
        manifest, standing = published_transcript(manifest_uri)
        return TranscriptPublished(
            produced_at=datetime.now(UTC),
            programme=session,
            media=standing.media.uri,
            transcript=storage.parent(manifest_uri),
            transcript_key=manifest.key,
            model=manifest.model,
            outcome=Outcome.DONE if live else Outcome.DONE_NO_SPEECH,
            language=standing.language,
            duration_s=standing.media.duration_ms / 1000,
        )

    def _refusal(self) -> TranscriptFailed:
        session = self.state.session
        return TranscriptFailed(
            produced_at=datetime.now(UTC),
            programme=session,
            media=_media_uri(session),
            outcome=Outcome.REJECTED,
            reason=Reason.DUPLICATE,
            detail=NAME_IS_TAKEN,
        )

    def _transcript(
        self,
        words: tuple[Word, ...],
        duration_ms: int,
        last: LiveWords | None = None,
        speech: tuple[Span, ...] = (),
        has_speakers: bool = True,
    ) -> Transcript:
        said = [Span(start_ms=word.start_ms, end_ms=word.end_ms) for word in words]
        speech_ms = sum(span.duration_ms for span in speech)
        no_speakers = TranscriptWarning(code=WarningCode.NO_SPEAKERS, detail="speakers were not told apart")
        return Transcript(
            media=Media(
                uri=_media_uri(self.state.session),
                sha256=(last.digest if last else "") or UNNAMED,
                duration_ms=duration_ms,
            ),
            provenance=Provenance(
                model_name=(last.model if last else "") or "live",
                model_version=(last.model_version if last else "") or "live",
                engine=f"{last.engine if last else 'live'}, live by local agreement",
                code_version=code_version(),
                normaliser="sentence-capitals-1",
            ),
            language=self._places.language,
            speakers=speakers_in(words),
            segments=into_segments(words),
            coverage=Coverage(speech_ms=speech_ms, covered_ms=covered_ms(speech, said), redecoded_ms=0),
            warnings=() if has_speakers else (no_speakers,),
        )

    def _uri(self, name: str) -> str:
        return storage.join(self._folder, *name.split("/"))


def _media_uri(session: str) -> str:
    return f"live:{session}"


def _words(words: Sequence[LiveWord]) -> tuple[Word, ...]:
    return tuple(
        Word(
            text=text,
            start_ms=word.start_ms,
            end_ms=word.end_ms,
            confidence=word.confidence,
            speaker=None,
            timing=WordTiming.CTC,
        )
        for word in words
        if (text := clean(word.text))
    )


def _text(words: Sequence[LiveWord], language: str) -> str:
    return join((text for word in words if (text := clean(word.text))), language)


def component(places: Places) -> Component:
    return Component("captions", LiveWords, lambda session, saved: CaptionsSession(places, session, saved), VERSION)
