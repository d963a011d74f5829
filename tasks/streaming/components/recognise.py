"""recognise: repeated decoding of a growing window of features, and committing of stable words.

The window starts at a pause or, if there is none, at a gap between committed words. It is decoded again with each step
of new audio. Words are committed by local agreement, or all at once at the end of an utterance. When it decodes depends
on the audio and the saved state only, never on the clock, so that equal messages commit equal words.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from tasks.audio import SAMPLES_PER_MS
from tasks.contract import Misconfigured, Reason
from tasks.streaming.components import endpointing
from tasks.streaming.components.endpointing import EndpointState, Utterance
from tasks.streaming.decoding import language
from tasks.streaming.decoding.agreement import count_agreed, without_overlaps
from tasks.streaming.decoding.decoder import Window
from tasks.streaming.decoding.language import LanguageState
from tasks.streaming.decoding.load import LoadMeter, next_step_ms
from tasks.streaming.runtime.messages import LiveSpan, LiveTurn, LiveVoices, LiveWord, LiveWords, State, from_floats
from tasks.streaming.runtime.session import Component

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.models import ModelReference
    from tasks.streaming.decoding.decoder import WindowDecoder

VERSION = 2
PADDING_MS = endpointing.OPTIONS.padding_ms
SILENCE_REPORT_MS = 1_000  # interval of messages during silence
MAX_CONTEXT_WORDS = 150  # committed words that are kept: those of the longest window and of a prompt


class RecogniseState(State):
    session: str
    sequence: int = 0
    endpoint: EndpointState = EndpointState()
    first_sample: int = 0
    """Centre of the window's first frame."""
    next_sample: int = -1
    """Centre of the expected next frame; negative before the first."""
    window: bytes = b""
    """float32, shape (n_frames, n_features)."""
    committed: tuple[LiveWord, ...] = ()
    """The last committed words, at most `MAX_CONTEXT_WORDS`."""
    language: LanguageState = LanguageState()
    step_ms: int
    """New audio between two decoding passes."""
    settled_ms: int = 0
    """Watermark: no word that starts earlier will be committed."""
    hypothesis: tuple[LiveWord, ...] = ()
    """The uncommitted words of the last decoding pass."""
    decoded_ms: int = 0
    """End of the window at the last decoding pass."""
    pause_ms: int = 0
    """End of the last utterance."""
    reported_ms: int = Field(default=0, alias="told_ms")
    """End of the audio at the last message sent."""
    turns: tuple[LiveTurn, ...] = ()
    """Turns to pass on with the next message."""


class RecogniseSession:
    """One session."""

    def __init__(
        self,
        decoder: WindowDecoder,
        model: ModelReference,
        session: str,
        saved: bytes | None = None,
        meter: LoadMeter | None = None,
    ) -> None:
        self._decoder, self._model, self._pace = decoder, model, decoder.pace
        self.state = (
            RecogniseState.model_validate_json(saved)
            if saved
            else RecogniseState(
                session=session,
                endpoint=EndpointState(),
                language=LanguageState(),
                step_ms=self._pace.step_ms,
            )
        )
        self._hop = decoder.features.hop_samples
        self._n_mels = decoder.features.n_mels
        self._window = from_floats(self.state.window, self._n_mels)
        self._meter = meter or LoadMeter()
        self._saved_at = self._meter.reading

    def save(self) -> bytes:
        """See `Session.save`. Only here the step is adapted: see `tasks.streaming.decoding.load`."""
        reading = self._meter.reading
        self.state.step_ms = next_step_ms(self.state.step_ms, reading.since(self._saved_at), self._pace)
        self._saved_at = reading
        self.state.window = self._window.astype("<f4").tobytes()
        return self.state.model_dump_json().encode()

    def push(self, message: LiveVoices) -> Iterator[LiveWords]:
        state = self.state
        state.turns += message.turns
        self._check_features(message)
        frames = from_floats(message.features, self._n_mels)  # (n_frames, n_mels)
        if len(frames):
            if message.first_sample != state.next_sample:
                for utterance in endpointing.close(state.endpoint, self._end_ms):
                    yield self._finish_utterance(utterance, message)
                self._window, state.first_sample = frames[:0], message.first_sample
            self._window = np.concatenate([self._window, frames])
            state.next_sample = message.first_sample + len(frames) * self._hop
        for utterance in endpointing.advance(state.endpoint, message.speech, message.start_ms):
            yield self._finish_utterance(utterance, message)
        received_ms = message.start_ms + len(message.speech) * endpointing.WINDOW_MS
        if message.is_last:
            ended = endpointing.close(state.endpoint, received_ms)
            yield self._finish_utterance(ended[0] if ended else None, message, received_ms, is_last=True)
        elif state.endpoint.speaks_since_ms < 0:
            if received_ms - state.pause_ms > self._pace.max_joined_pause_ms:
                self._drop_before(self._end_ms - PADDING_MS)
            state.settled_ms = max(state.settled_ms, received_ms - PADDING_MS)
            if received_ms - state.reported_ms >= SILENCE_REPORT_MS:
                yield self._build_message(message, received_ms)
        elif self._end_ms - state.decoded_ms >= state.step_ms or self._is_full:
            yield self._decode_step(message)

    @property
    def _begin_ms(self) -> int:
        return self.state.first_sample // SAMPLES_PER_MS

    @property
    def _end_ms(self) -> int:
        return (self.state.first_sample + len(self._window) * self._hop) // SAMPLES_PER_MS

    @property
    def _is_full(self) -> bool:
        return self._end_ms - self._begin_ms >= self._pace.max_window_ms

    def _check_features(self, message: LiveVoices) -> None:
        if message.n_features != self._n_mels:
            raise Misconfigured(
                f"features have {message.n_features} values, the model takes {self._n_mels}",
                reason=Reason.INVALID_ARGUMENT,
                subject=self._model.uri,
                next_step="start features and recognise with the same --model",
            )

    def _decode_step(self, message: LiveVoices) -> LiveWords:
        """Decode the whole window, and commit the prefix on which this hypothesis and the previous one agree."""
        state, pace, is_full = self.state, self._pace, self._is_full
        end_ms = state.decoded_ms = self._end_ms
        spoken_from_ms = max(0, state.endpoint.speaks_since_ms - PADDING_MS)
        committed = self._follow_language(end_ms, spoken_from_ms)
        new = self._decode(end_ms, spoken_from_ms, is_final=is_full)
        n = min(count_agreed(state.hypothesis, new, end_ms - pace.hold_back_ms), max(0, len(new) - pace.n_held_words))
        # Passes may never agree on a word, as in crowd noise. Captions must not wait, and the window must advance.
        patience_ms = min(pace.max_pending_ms, pace.context_ms) if is_full else pace.max_pending_ms
        n = max(n, sum(word.end_ms <= end_ms - patience_ms for word in new))
        if state.language.holds_back and not is_full:
            n = 0
        committed += self._commit(new[:n])
        state.hypothesis = new[n:]
        if is_full:
            self._drop_before(self._trim_point(end_ms))
            state.settled_ms = max(state.settled_ms, self._begin_ms)
        elif state.settled_ms - self._begin_ms > pace.max_context_ms:
            gap_ms = self._longest_gap(state.settled_ms - pace.max_context_ms, state.settled_ms - pace.context_ms)
            self._drop_before(gap_ms or 0)
        return self._build_message(message, end_ms, committed)

    def _finish_utterance(
        self, utterance: Utterance | None, message: LiveVoices, received_ms: int = 0, is_last: bool = False
    ) -> LiveWords:
        """Commit all words of an utterance that has ended."""
        state = self.state
        end_ms = min(utterance.end_ms, self._end_ms) if utterance else self._end_ms
        committed: tuple[LiveWord, ...] = ()
        if utterance:
            committed = self._follow_language(end_ms, utterance.start_ms, is_final=True)
            committed += self._commit(self._decode(end_ms, utterance.start_ms, is_final=True))
        state.hypothesis, state.decoded_ms, state.pause_ms = (), end_ms, end_ms
        state.settled_ms = max(state.settled_ms, end_ms - PADDING_MS)
        self._drop_before(end_ms - self._pace.pause_context_ms)
        spoken = (
            LiveSpan(start_ms=utterance.start_ms, end_ms=end_ms) if utterance and utterance.start_ms < end_ms else None
        )
        return self._build_message(message, max(end_ms, received_ms), committed, spoken, is_last)

    def _follow_language(self, end_ms: int, spoken_from_ms: int, is_final: bool = False) -> tuple[LiveWord, ...]:
        """Check the language if that is due. At a change the window begins anew, and the words before are returned."""
        state = self.state
        if not self._decoder.detects_languages:
            return ()
        language.begin_stretch(state.language, spoken_from_ms)
        if not language.is_due(state.language, end_ms, is_final):
            return ()
        with self._meter.measure():
            window = self._build_window(end_ms, spoken_from_ms, is_final)
            heard = self._decoder.detect_language(window, state.language.stretch_ms)
        if not language.update(state.language, heard, end_ms):
            return ()
        before = self._commit(tuple(w for w in state.hypothesis if w.end_ms <= state.language.since_ms))
        state.hypothesis = ()
        self._drop_before(state.language.since_ms)
        return before

    def _decode(self, end_ms: int, spoken_from_ms: int, is_final: bool) -> tuple[LiveWord, ...]:
        """Return the words of the window up to `end_ms` that are not committed."""
        window = self._build_window(end_ms, spoken_from_ms, is_final)
        with self._meter.measure():
            return self._decoder.decode(window)

    def _build_window(self, end_ms: int, spoken_from_ms: int, is_final: bool) -> Window:
        """Return the window up to `end_ms`."""
        state = self.state
        end_ms = max(end_ms, self._begin_ms)
        return Window(
            frames=self._window[: (end_ms - self._begin_ms) * SAMPLES_PER_MS // self._hop],
            start_ms=self._begin_ms,
            end_ms=end_ms,
            committed=[word for word in state.committed if word.end_ms > state.language.since_ms],
            language=state.language.code or state.language.guess,
            spoken_from_ms=spoken_from_ms,
            is_final=is_final,
        )

    def _commit(self, words: tuple[LiveWord, ...]) -> tuple[LiveWord, ...]:
        state = self.state
        committed = without_overlaps(words, state.settled_ms)
        if committed:
            state.committed = (*state.committed, *committed)[-MAX_CONTEXT_WORDS:]
            state.settled_ms = committed[-1].end_ms
        return committed

    def _trim_point(self, end_ms: int) -> int:
        """Return the new start of a full window: the longest gap between committed words that leaves enough context.

        Without such a gap, before the first pending word, so that a window of speech without words advances too.
        """
        state, context_ms = self.state, self._pace.context_ms
        latest_ms, earliest_ms = end_ms - context_ms, self._begin_ms + context_ms
        gap_ms = self._longest_gap(earliest_ms, latest_ms)
        if gap_ms is not None:
            return gap_ms
        pending_ms = state.hypothesis[0].start_ms if state.hypothesis else end_ms
        return min(latest_ms, pending_ms) if pending_ms >= earliest_ms else latest_ms

    def _longest_gap(self, earliest_ms: int, latest_ms: int) -> int | None:
        """Return the middle of the longest gap between committed words in a span."""
        gaps = [
            (after.start_ms - before.end_ms, (before.end_ms + after.start_ms) // 2)
            for before, after in pairwise(self.state.committed)
            if earliest_ms <= before.end_ms and after.start_ms <= latest_ms
        ]
        return max(gaps)[1] if gaps else None

    def _drop_before(self, before_ms: int) -> None:
        """Drop the window's frames before a time."""
        n_frames = (before_ms - self._begin_ms) * SAMPLES_PER_MS // self._hop
        if n_frames > 0:
            self._window = self._window[n_frames:]
            self.state.first_sample += n_frames * self._hop

    def _build_message(
        self,
        message: LiveVoices,
        end_ms: int,
        committed: tuple[LiveWord, ...] = (),
        spoken: LiveSpan | None = None,
        is_last: bool = False,
    ) -> LiveWords:
        state = self.state
        words = LiveWords(
            session=state.session,
            sequence=state.sequence,
            start_ms=self._begin_ms,
            captured_at=message.captured_at,
            is_last=is_last,
            end_ms=end_ms,
            settled_ms=end_ms if is_last else state.settled_ms,
            committed=committed,
            pending=state.hypothesis,
            turns=state.turns,
            spoken=spoken,
            language=state.language.code,
            engine=self._decoder.name if is_last else "",
            model=self._model.uri if is_last else "",
            model_version=self._model.version if is_last else "",
            digest=message.digest if is_last else "",
        )
        state.sequence += 1
        state.reported_ms, state.turns = end_ms, ()
        return words


def component(reference: ModelReference, folder: Path) -> Component:
    """Load the model and create the component.

    Raises:
        Misconfigured: a model that cannot be streamed.
    """
    from tasks.streaming.decoding.loading import load_decoder

    decoder, meter = load_decoder(folder), LoadMeter()
    return Component(
        "recognise",
        LiveVoices,
        lambda session, saved: RecogniseSession(decoder, reference, session, saved, meter),
        VERSION,
    )
