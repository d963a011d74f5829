"""captions: committed words to captions, WebVTT segments and, at the session's end, a published transcript.

    <live>/<session>/passages/000000.json    consecutive words, each passage written once
                    /captions-000000.vtt      segments of six seconds, listed in captions.m3u8
    <transcripts>/<session>/<key>/            at the end, published as by the night

Objects are numbered and determined by the messages, so writes are idempotent.
"""

from __future__ import annotations

from collections import Counter
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
from tasks.publishing.transcripts import publish_transcript, put_if_absent, read_published_transcript
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
)
from tasks.transcripts.merging import into_segments, speakers_in, with_monotonic_times, with_speakers
from tasks.transcripts.sentences import with_capitals
from tasks.transcripts.spans import Span, Turn
from tasks.transcripts.text import clean, join

VERSION = 1
MAX_PASSAGE_MS = 5_000  # cut into cues as a whole: longer passages give better cues, but later WebVTT
KEEP_TURNS_MS = 60_000
MAX_HOLD_MS = 1_000  # a passage's last cue stays at most this long after its last word
UNKNOWN_SHA256 = "0" * 64
NAME_IN_USE = "another broadcast has used this session name: feed this one under another"

log = structlog.get_logger()


class Passage(Frozen):
    """Consecutive committed words, with the utterances and final turns known when it was closed."""

    words: tuple[LiveWord, ...]
    spoken: tuple[LiveSpan, ...] = ()
    turns: tuple[LiveTurn, ...] = ()
    language: str = ""
    """The detected language (BCP 47), if the model detects it."""


class CaptionsState(State):
    session: str
    n_final: int = 0
    n_partial: int = 0
    partial: str = ""
    """Text of the last partial caption."""
    language: str = ""
    """The language detected last."""
    before: LiveWord | None = None
    """The last word of the previous passage."""
    open: tuple[LiveWord, ...] = ()
    """Words of the open passage."""
    spoken: tuple[LiveSpan, ...] = ()
    """Utterances that ended in the open passage."""
    final_turns: tuple[LiveTurn, ...] = ()
    turns: tuple[LiveTurn, ...] = ()
    """Recent turns, final or not."""
    n_passages: int = 0
    n_segments: int = 0
    cues: tuple[hls.VttCue, ...] = ()
    """Cues for segments to come."""
    cue_end_ms: int = 0
    is_refused: bool = False
    """Whether another broadcast has used the session's name."""


@dataclass(frozen=True)
class CaptionsConfig:
    """Output prefixes, and the language of captions where the model does not detect it."""

    live: str
    transcripts: str
    language: str = "en"


class CaptionsSession:
    """Captions of one session."""

    def __init__(self, config: CaptionsConfig, session: str, saved: bytes | None = None) -> None:
        self.state = CaptionsState.model_validate_json(saved) if saved else CaptionsState(session=session)
        self._config = config
        self._folder = storage.join(config.live, session)

    def save(self) -> bytes:
        return self.state.model_dump_json().encode()

    def push(self, message: LiveWords) -> Iterator[Outgoing]:
        state = self.state
        if not state.is_refused:
            yield from self._process(message)
        if message.is_last:
            yield self._make_refusal() if state.is_refused else self._publish(message)

    def _process(self, message: LiveWords) -> Iterator[Outgoing]:
        state = self.state
        state.language = message.language or state.language
        self._update_turns(message.turns, message.end_ms)
        if message.committed:
            yield self._make_caption(CaptionFinal, state.n_final, message.committed, message)
            state.n_final += 1
        if (pending := _join_texts(message.pending, self._language)) != state.partial:
            yield self._make_caption(CaptionPartial, state.n_partial, message.pending, message)
            state.n_partial, state.partial = state.n_partial + 1, pending
        state.open += message.committed
        if message.spoken:
            state.spoken += (message.spoken,)
        is_long = state.open and state.open[-1].end_ms - state.open[0].start_ms >= MAX_PASSAGE_MS
        if message.spoken or is_long or message.is_last:
            self._close_passage()
        if state.is_refused:
            return
        self._write_segments(state.open[0].start_ms if state.open else message.settled_ms)
        if message.is_last:
            self._write_segments(message.end_ms, is_last=True)

    def _make_caption(
        self, kind: type[Caption], sequence: int, words: Sequence[LiveWord], message: LiveWords
    ) -> Caption:
        assigned = self._with_speakers(words, self.state.turns)
        return kind(
            session=self.state.session,
            sequence=sequence,
            start_ms=assigned[0].start_ms if assigned else message.settled_ms,
            end_ms=assigned[-1].end_ms if assigned else message.settled_ms,
            text=_join_texts(words, self._language),
            words=tuple(
                CaptionWord(
                    text=word.text,
                    start_ms=word.start_ms,
                    end_ms=word.end_ms,
                    confidence=word.confidence or 0.0,
                    speaker=word.speaker,
                )
                for word in assigned
            ),
            captured_at=message.captured_at,
        )

    def _update_turns(self, turns: Sequence[LiveTurn], now_ms: int) -> None:
        """Add turns. They replace the provisional turns that start with or after the earliest of them."""
        state = self.state
        if not turns:
            return
        from_ms = min(turn.start_ms for turn in turns)
        kept = [
            turn
            for turn in state.turns
            if (turn.is_final or turn.start_ms < from_ms) and turn.end_ms > now_ms - KEEP_TURNS_MS
        ]
        state.turns = (*kept, *turns)
        state.final_turns += tuple(turn for turn in turns if turn.is_final)

    @staticmethod
    def _with_speakers(words: Sequence[LiveWord], turns: Sequence[LiveTurn]) -> tuple[Word, ...]:
        return with_speakers(_to_words(words), [Turn(t.start_ms, t.end_ms, t.speaker) for t in turns])

    def _close_passage(self) -> None:
        """Write the open passage, and cut it into cues."""
        state = self.state
        if not (state.open or state.spoken or state.final_turns):
            return
        passage = Passage(words=state.open, spoken=state.spoken, turns=state.final_turns, language=state.language)
        uri, data = self._uri(f"passages/{state.n_passages:06d}.json"), passage.model_dump_json().encode() + b"\n"
        # A session resumed after a crash may briefly differ in a later passage, but not in the first: if that differs,
        # another broadcast has written it.
        if put_if_absent(uri, data) != data and not state.n_passages:
            state.is_refused = True
            log.error("session refused", session=state.session, reason=NAME_IN_USE, passage=uri)
            return
        if state.open:
            # The previous word decides whether a sentence begins here.
            context = (state.before,) if state.before else ()
            words = with_capitals(self._with_speakers(context + state.open, state.turns), self._language)
            words = words[len(context) :]
            for cue in cut(self._make_transcript(words, words[-1].end_ms, self._language)):
                vtt_cue = hls.VttCue.of(cue, state.cue_end_ms)
                latest_ms = max(words[-1].end_ms + MAX_HOLD_MS, vtt_cue.start_ms + 1)
                vtt_cue = vtt_cue.model_copy(update={"end_ms": min(vtt_cue.end_ms, latest_ms)})
                state.cues += (vtt_cue,)
                state.cue_end_ms = vtt_cue.end_ms
            state.before = state.open[-1]
        state.n_passages += 1
        state.open, state.spoken, state.final_turns = (), (), ()

    def _write_segments(self, until_ms: int, is_last: bool = False) -> None:
        """Write the segments that end by `until_ms` (with `is_last` also the shorter last one), and the playlist."""
        state = self.state
        n_segments = -(-until_ms // hls.SEGMENT_MS) if is_last else until_ms // hls.SEGMENT_MS
        if n_segments <= state.n_segments and not is_last:
            return
        for number in range(state.n_segments, n_segments):
            put_if_absent(self._uri(hls.segment_name(number)), hls.segment(number, state.cues))
        state.n_segments = max(state.n_segments, n_segments)
        state.cues = tuple(cue for cue in state.cues if cue.end_ms > state.n_segments * hls.SEGMENT_MS)
        uri = self._uri(hls.PLAYLIST)
        # A replay after a crash must not shorten the playlist that players have seen.
        if is_last or not storage.exists(uri) or hls.count_segments(storage.read_bytes(uri)) < state.n_segments:
            storage.write(uri, hls.playlist(state.n_segments, until_ms if is_last else None))

    def _publish(self, message: LiveWords) -> TranscriptPublished:
        """Publish the whole session as the night does. The key is made of the audio and the model."""
        session = self.state.session
        passages = [
            read_one(Passage, self._uri(f"passages/{number:06d}.json")) for number in range(self.state.n_passages)
        ]
        committed = [word for passage in passages for word in passage.words]
        turns = [turn for passage in passages for turn in passage.turns]
        n_words_in: Counter[str] = Counter()
        for passage in passages:
            n_words_in[passage.language] += len(passage.words)
        language = max(n_words_in, key=n_words_in.__getitem__, default="") or self._language
        words = with_capitals(with_monotonic_times(self._with_speakers(committed, turns), message.end_ms), language)
        speech = [Span(start_ms=span.start_ms, end_ms=span.end_ms) for passage in passages for span in passage.spoken]
        transcript = self._make_transcript(
            words, message.end_ms, language, message, tuple(speech), has_speakers=bool(turns)
        )
        key = digest_of({"live": VERSION, "audio": message.digest, "model": message.model_version})
        manifest_uri = publish_transcript(transcript, session, key, self._config.transcripts)
        manifest, published = read_published_transcript(manifest_uri)
        return TranscriptPublished(
            produced_at=datetime.now(UTC),
            programme=session,
            media=published.media.uri,
            transcript=storage.parent(manifest_uri),
            transcript_key=manifest.key,
            model=manifest.model,
            outcome=Outcome.DONE if committed else Outcome.DONE_NO_SPEECH,
            language=published.language,
            duration_s=published.media.duration_ms / 1000,
        )

    def _make_refusal(self) -> TranscriptFailed:
        session = self.state.session
        return TranscriptFailed(
            produced_at=datetime.now(UTC),
            programme=session,
            media=_media_uri(session),
            outcome=Outcome.REJECTED,
            reason=Reason.DUPLICATE,
            detail=NAME_IN_USE,
        )

    def _make_transcript(
        self,
        words: tuple[Word, ...],
        duration_ms: int,
        language: str,
        last: LiveWords | None = None,
        speech: tuple[Span, ...] = (),
        has_speakers: bool = True,
    ) -> Transcript:
        word_spans = [Span(start_ms=word.start_ms, end_ms=word.end_ms) for word in words]
        speech_ms = sum(span.duration_ms for span in speech)
        no_speakers = TranscriptWarning(code=WarningCode.NO_SPEAKERS, detail="diarization was not run")
        return Transcript(
            media=Media(
                uri=_media_uri(self.state.session),
                sha256=(last.digest if last else "") or UNKNOWN_SHA256,
                duration_ms=duration_ms,
            ),
            provenance=Provenance(
                model_name=(last.model if last else "") or "live",
                model_version=(last.model_version if last else "") or "live",
                engine=f"{last.engine if last else 'live'}, live by local agreement",
                code_version=code_version(),
                normaliser="sentence-capitals-1",
            ),
            language=language,
            speakers=speakers_in(words),
            segments=into_segments(words),
            coverage=Coverage(speech_ms=speech_ms, covered_ms=covered_ms(speech, word_spans), redecoded_ms=0),
            warnings=() if has_speakers else (no_speakers,),
        )

    @property
    def _language(self) -> str:
        return self.state.language or self._config.language

    def _uri(self, name: str) -> str:
        return storage.join(self._folder, *name.split("/"))


def _media_uri(session: str) -> str:
    return f"live:{session}"


def _to_words(words: Sequence[LiveWord]) -> tuple[Word, ...]:
    return tuple(
        Word(
            text=text,
            start_ms=word.start_ms,
            end_ms=word.end_ms,
            confidence=word.confidence,
            speaker=None,
            timing=word.timing,
        )
        for word in words
        if (text := clean(word.text))
    )


def _join_texts(words: Sequence[LiveWord], language: str) -> str:
    return join((text for word in words if (text := clean(word.text))), language)


def component(config: CaptionsConfig) -> Component:
    return Component("captions", LiveWords, lambda session, saved: CaptionsSession(config, session, saved), VERSION)
