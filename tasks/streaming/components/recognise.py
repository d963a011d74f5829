"""recognise: repeated decoding of a growing window of features, and committing of stable words.

The window starts at a pause or, if there is none, at a gap between committed words. The CTC model decodes the whole
window each time, normalised as a whole, as the batch path does with its chunks. Words are committed by local agreement,
or all at once at the end of an utterance. When it decodes depends on the audio only, never on the clock, so that equal
messages commit equal words.
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
from tasks.streaming.components.agreement import count_agreed, select_uncommitted, without_overlaps
from tasks.streaming.components.endpointing import EndpointState, Utterance
from tasks.streaming.runtime.messages import LiveSpan, LiveTurn, LiveVoices, LiveWord, LiveWords, State, from_floats
from tasks.streaming.runtime.session import Component

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.models import ModelReference
    from tasks.recognition.ctc import CtcEngine

VERSION = 1
STEP_MS = 500  # new audio between two decoding passes within an utterance
HOLD_BACK_MS = 400  # a word this close to the window's end may be the beginning of a longer one
MAX_WINDOW_MS = 9_000
CONTEXT_MS = 3_000  # committed audio kept as left context: the model is inaccurate at the start of its input
MAX_JOINED_PAUSE_MS = 600  # after a longer pause a new window starts, as do chunks of the batch path
PADDING_MS = endpointing.OPTIONS.padding_ms
SILENCE_REPORT_MS = 1_000  # interval of messages during silence


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
    last: LiveWord | None = None
    """The last committed word."""
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

    def __init__(self, engine: CtcEngine, model: ModelReference, session: str, saved: bytes | None = None) -> None:
        self.state = (
            RecogniseState.model_validate_json(saved)
            if saved
            else RecogniseState(session=session, endpoint=EndpointState())
        )
        self._engine, self._model = engine, model
        self._hop = engine.features.hop_samples
        self._n_mels = engine.features.n_mels
        self._window = from_floats(self.state.window, self._n_mels)

    def save(self) -> bytes:
        self.state.window = self._window.astype("<f4").tobytes()
        return self.state.model_dump_json().encode()

    def push(self, message: LiveVoices) -> Iterator[LiveWords]:
        state = self.state
        state.turns += message.turns
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
            if received_ms - state.pause_ms > MAX_JOINED_PAUSE_MS:
                self._drop_before(self._end_ms - PADDING_MS)
            state.settled_ms = max(state.settled_ms, received_ms - PADDING_MS)
            if received_ms - state.reported_ms >= SILENCE_REPORT_MS:
                yield self._build_message(message, received_ms)
        elif self._end_ms - state.decoded_ms >= STEP_MS:
            yield self._decode_step(message)

    @property
    def _begin_ms(self) -> int:
        return self.state.first_sample // SAMPLES_PER_MS

    @property
    def _end_ms(self) -> int:
        return (self.state.first_sample + len(self._window) * self._hop) // SAMPLES_PER_MS

    def _decode_step(self, message: LiveVoices) -> LiveWords:
        """Decode the whole window, and commit the prefix on which this hypothesis and the previous one agree."""
        state = self.state
        end_ms = state.decoded_ms = self._end_ms
        hypothesis = self._decode(end_ms)
        new = select_uncommitted(hypothesis, state.last)
        n = count_agreed(state.hypothesis, new, end_ms - HOLD_BACK_MS)
        if end_ms - self._begin_ms >= MAX_WINDOW_MS:
            # The window must advance: words on which no two passes agreed, as in crowd noise, are committed too.
            n = max(n, sum(word.end_ms <= end_ms - CONTEXT_MS for word in new))
        committed = self._commit(new[:n])
        state.hypothesis = new[n:]
        if end_ms - self._begin_ms >= MAX_WINDOW_MS:
            self._drop_before(self._trim_point(hypothesis, end_ms))
            state.settled_ms = max(state.settled_ms, self._begin_ms)
        return self._build_message(message, end_ms, committed)

    def _finish_utterance(
        self, utterance: Utterance | None, message: LiveVoices, received_ms: int = 0, is_last: bool = False
    ) -> LiveWords:
        """Commit all words of an utterance that has ended."""
        state = self.state
        end_ms = min(utterance.end_ms, self._end_ms) if utterance else self._end_ms
        committed = self._commit(select_uncommitted(self._decode(end_ms), state.last)) if utterance else ()
        state.hypothesis, state.decoded_ms, state.pause_ms = (), end_ms, end_ms
        state.settled_ms = max(state.settled_ms, end_ms - PADDING_MS)
        self._drop_before(end_ms - CONTEXT_MS)
        spoken = (
            LiveSpan(start_ms=utterance.start_ms, end_ms=end_ms) if utterance and utterance.start_ms < end_ms else None
        )
        return self._build_message(message, max(end_ms, received_ms), committed, spoken, is_last)

    def _decode(self, end_ms: int) -> tuple[LiveWord, ...]:
        """Return the words of the window up to `end_ms`."""
        import torch

        from tasks.features.logmel import per_feature_norm

        begin_ms = self._begin_ms
        n_frames = (end_ms - begin_ms) * SAMPLES_PER_MS // self._hop
        frames = torch.from_numpy(self._window[: max(0, n_frames)].copy())  # (n_frames, n_mels)
        features = per_feature_norm(frames, self._engine.features.family)
        recognised = self._engine.recognise_features(features, max(0, end_ms - begin_ms))
        return tuple(
            LiveWord(
                text=word.text,
                start_ms=begin_ms + word.start_ms,
                end_ms=begin_ms + word.end_ms,
                confidence=round(word.confidence, 4),
            )
            for word in recognised.words
        )

    def _commit(self, words: tuple[LiveWord, ...]) -> tuple[LiveWord, ...]:
        committed = without_overlaps(words, self.state.settled_ms)
        if committed:
            self.state.last, self.state.settled_ms = committed[-1], committed[-1].end_ms
        return committed

    def _trim_point(self, hypothesis: tuple[LiveWord, ...], end_ms: int) -> int:
        """Return the new start of a full window: the longest gap between committed words that leaves enough context.

        Without such a gap, before the first pending word, so that a window of speech without words advances too.
        """
        state, latest_ms, earliest_ms = self.state, end_ms - CONTEXT_MS, self._begin_ms + CONTEXT_MS
        gaps = [
            (after.start_ms - before.end_ms, (before.end_ms + after.start_ms) // 2)
            for before, after in pairwise(hypothesis)
            if earliest_ms <= before.end_ms and after.start_ms <= min(latest_ms, state.settled_ms)
        ]
        if gaps:
            return max(gaps)[1]
        pending_ms = state.hypothesis[0].start_ms if state.hypothesis else end_ms
        return min(latest_ms, pending_ms) if pending_ms >= earliest_ms else latest_ms

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
            engine=self._engine.name if is_last else "",
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
        Misconfigured: not a CTC model.
    """
    from tasks.recognition import load_engine
    from tasks.recognition.ctc import CtcEngine

    engine = load_engine(folder)
    if not isinstance(engine, CtcEngine):
        raise Misconfigured(
            f"{engine.name} cannot decode growing windows",
            reason=Reason.INVALID_ARGUMENT,
            subject=reference.uri,
            next_step="use a Parakeet CTC model for live captions",
        )
    return Component(
        "recognise", LiveVoices, lambda session, saved: RecogniseSession(engine, reference, session, saved), VERSION
    )
