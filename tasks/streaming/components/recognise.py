"""recognise: a window of features decoded again and again, and the words that settle.

The window begins at a pause, or at a gap between settled words when no pause comes. A CTC model sees all of it each
time, normalised as a whole, as the batch path does with its chunks. Words settle by local agreement, or all at once
when the utterance has ended. How often it decodes depends on the audio alone, never on the clock, so that the same
messages always settle the same words.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from tasks.audio import SAMPLES_PER_MS
from tasks.contract import Misconfigured, Reason
from tasks.streaming.components import endpointing
from tasks.streaming.components.agreement import after, agreed, in_sequence
from tasks.streaming.components.endpointing import EndpointState, Utterance
from tasks.streaming.runtime.messages import LiveSpan, LiveTurn, LiveVoices, LiveWord, LiveWords, State, from_floats
from tasks.streaming.runtime.session import Component

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.models import ModelReference
    from tasks.recognition.ctc import CtcEngine

VERSION = 1
STEP_MS = 500  # of new audio between two decodes of an utterance
HOLD_MS = 400  # a word this near the window's end may only be the beginning of a longer one
LONGEST_WINDOW_MS = 9_000
CONTEXT_MS = 3_000  # settled audio that stays in the window: the model hears nothing well at its very beginning
JOIN_MS = 600  # after a longer pause the window begins anew, as chunks of the batch path do
PADDING_MS = endpointing.OPTIONS.padding_ms
QUIET_MS = 1_000  # where nothing is said, so often it is told


class RecogniseState(State):
    session: str
    sequence: int = 0
    endpoint: EndpointState = EndpointState()
    first_sample: int = 0
    """Centre of the window's first frame."""
    next_sample: int = -1
    """Centre of the frame that should come next; negative before the first."""
    window: bytes = b""
    """float32, `(n_frames, n_features)`."""
    last: LiveWord | None = None
    """The last word that was committed."""
    settled_ms: int = 0
    hypothesis: tuple[LiveWord, ...] = ()
    """What the last decode heard after that."""
    decoded_ms: int = 0
    """Where the window ended then."""
    pause_ms: int = 0
    """Where the last utterance ended."""
    told_ms: int = 0
    turns: tuple[LiveTurn, ...] = ()


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
        frames = from_floats(message.features, self._n_mels)
        if len(frames):
            if message.first_sample != state.next_sample:
                for utterance in endpointing.close(state.endpoint, self._end_ms):
                    yield self._finish(utterance, message)
                self._window, state.first_sample = frames[:0], message.first_sample
            self._window = np.concatenate([self._window, frames])
            state.next_sample = message.first_sample + len(frames) * self._hop
        for utterance in endpointing.advance(state.endpoint, message.speech, message.start_ms):
            yield self._finish(utterance, message)
        heard_ms = message.start_ms + len(message.speech) * endpointing.WINDOW_MS
        if message.is_last:
            ended = endpointing.close(state.endpoint, heard_ms)
            yield self._finish(ended[0] if ended else None, message, heard_ms, is_last=True)
        elif state.endpoint.speaks_since_ms < 0:
            if heard_ms - state.pause_ms > JOIN_MS:
                self._forget(self._end_ms - PADDING_MS)
            state.settled_ms = max(state.settled_ms, heard_ms - PADDING_MS)
            if heard_ms - state.told_ms >= QUIET_MS:
                yield self._tell(message, heard_ms)
        elif self._end_ms - state.decoded_ms >= STEP_MS:
            yield self._listen(message)

    @property
    def _begin_ms(self) -> int:
        return self.state.first_sample // SAMPLES_PER_MS

    @property
    def _end_ms(self) -> int:
        return (self.state.first_sample + len(self._window) * self._hop) // SAMPLES_PER_MS

    def _listen(self, message: LiveVoices) -> LiveWords:
        """Decode the whole window, settle what this hypothesis and the one before agree on."""
        state = self.state
        end_ms = state.decoded_ms = self._end_ms
        heard = self._decode(end_ms)
        new = after(heard, state.last)
        n = agreed(state.hypothesis, new, end_ms - HOLD_MS)
        if end_ms - self._begin_ms >= LONGEST_WINDOW_MS:
            # The window must move on. What it has never heard twice alike, as in a crowd, is taken as it is.
            n = max(n, sum(word.end_ms <= end_ms - CONTEXT_MS for word in new))
        committed = self._commit(new[:n])
        state.hypothesis = new[n:]
        if end_ms - self._begin_ms >= LONGEST_WINDOW_MS:
            self._forget(self._cut(heard, end_ms))
            state.settled_ms = max(state.settled_ms, self._begin_ms)
        return self._tell(message, end_ms, committed)

    def _finish(
        self, utterance: Utterance | None, message: LiveVoices, heard_ms: int = 0, is_last: bool = False
    ) -> LiveWords:
        """The utterance is over: all that was heard in it settles."""
        state = self.state
        end_ms = min(utterance.end_ms, self._end_ms) if utterance else self._end_ms
        committed = self._commit(after(self._decode(end_ms), state.last)) if utterance else ()
        state.hypothesis, state.decoded_ms, state.pause_ms = (), end_ms, end_ms
        state.settled_ms = max(state.settled_ms, end_ms - PADDING_MS)
        self._forget(end_ms - CONTEXT_MS)
        spoken = (
            LiveSpan(start_ms=utterance.start_ms, end_ms=end_ms) if utterance and utterance.start_ms < end_ms else None
        )
        return self._tell(message, max(end_ms, heard_ms), committed, spoken, is_last)

    def _decode(self, end_ms: int) -> tuple[LiveWord, ...]:
        """The words of the window up to `end_ms`."""
        import torch

        from tasks.features.logmel import per_feature_norm

        begin_ms = self._begin_ms
        n_frames = (end_ms - begin_ms) * SAMPLES_PER_MS // self._hop
        frames = torch.from_numpy(self._window[: max(0, n_frames)].copy())
        features = per_feature_norm(frames, self._engine.features.family)
        found = self._engine.recognise_features(features, max(0, end_ms - begin_ms))
        return tuple(
            LiveWord(
                text=word.text,
                start_ms=begin_ms + word.start_ms,
                end_ms=begin_ms + word.end_ms,
                confidence=round(word.confidence, 4),
            )
            for word in found.words
        )

    def _commit(self, words: tuple[LiveWord, ...]) -> tuple[LiveWord, ...]:
        committed = in_sequence(words, self.state.settled_ms)
        if committed:
            self.state.last, self.state.settled_ms = committed[-1], committed[-1].end_ms
        return committed

    def _cut(self, heard: tuple[LiveWord, ...], end_ms: int) -> int:
        """Where the window may begin anew: in the longest gap between settled words that leaves it some context.

        Where there is none, before the first word that waits; a window of speech without words moves on too.
        """
        state, latest_ms, earliest_ms = self.state, end_ms - CONTEXT_MS, self._begin_ms + CONTEXT_MS
        gaps = [
            (after.start_ms - before.end_ms, (before.end_ms + after.start_ms) // 2)
            for before, after in pairwise(heard)
            if earliest_ms <= before.end_ms and after.start_ms <= min(latest_ms, state.settled_ms)
        ]
        if gaps:
            return max(gaps)[1]
        waits_ms = state.hypothesis[0].start_ms if state.hypothesis else end_ms
        return min(latest_ms, waits_ms) if waits_ms >= earliest_ms else latest_ms

    def _forget(self, before_ms: int) -> None:
        """Drop the window's frames before a time."""
        n_frames = (before_ms - self._begin_ms) * SAMPLES_PER_MS // self._hop
        if n_frames > 0:
            self._window = self._window[n_frames:]
            self.state.first_sample += n_frames * self._hop

    def _tell(
        self,
        message: LiveVoices,
        end_ms: int,
        committed: tuple[LiveWord, ...] = (),
        spoken: LiveSpan | None = None,
        is_last: bool = False,
    ) -> LiveWords:
        state = self.state
        told = LiveWords(
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
        state.told_ms, state.turns = end_ms, ()
        return told


def component(reference: ModelReference, folder: Path) -> Component:
    """Loads the model.

    Raises:
        Misconfigured: a model that does not decode windows of features.
    """
    from tasks.recognition import load_engine
    from tasks.recognition.ctc import CtcEngine

    engine = load_engine(folder)
    if not isinstance(engine, CtcEngine):
        raise Misconfigured(
            f"{engine.name} hears whole utterances only",
            reason=Reason.INVALID_ARGUMENT,
            subject=reference.uri,
            next_step="give a Parakeet CTC model for live captions",
        )
    return Component(
        "recognise", LiveVoices, lambda session, saved: RecogniseSession(engine, reference, session, saved), VERSION
    )
