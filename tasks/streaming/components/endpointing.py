"""Endpointing: utterance boundaries from a stream of speech probabilities. Pure functions.

Thresholds and durations are those of the batch VAD (`SpeechActivityOptions`): a pause ends an utterance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tasks.audio import SAMPLES_PER_MS
from tasks.media.speech_activity import N_WINDOW, SpeechActivityOptions
from tasks.streaming.runtime.messages import State

WINDOW_MS = N_WINDOW // SAMPLES_PER_MS
OPTIONS = SpeechActivityOptions()


class EndpointState(State):
    speaks_since_ms: int = -1
    """Start of the open utterance; negative if there is none."""
    silent_since_ms: int = -1
    """Start of the pause at the end of the open utterance; negative if there is none."""


@dataclass(frozen=True)
class Utterance:
    """An utterance that has ended, with padding."""

    start_ms: int
    end_ms: int


def advance(state: EndpointState, probabilities: Sequence[float], start_ms: int) -> list[Utterance]:
    """Process one speech probability per 32 ms, the first at `start_ms`; return the utterances that ended."""
    ended = []
    for index, probability in enumerate(probabilities):
        at_ms = start_ms + index * WINDOW_MS
        if state.speaks_since_ms < 0:
            if probability >= OPTIONS.threshold:
                state.speaks_since_ms, state.silent_since_ms = at_ms, -1
        elif probability >= OPTIONS.threshold:
            state.silent_since_ms = -1
        elif probability < OPTIONS.release:
            if state.silent_since_ms < 0:
                state.silent_since_ms = at_ms
            elif at_ms - state.silent_since_ms >= OPTIONS.min_silence_ms:
                ended += close(state, state.silent_since_ms)
    return ended


def close(state: EndpointState, end_ms: int) -> list[Utterance]:
    """End the open utterance at a pause, a gap or the session's end. Utterances that are too short are dropped."""
    if state.speaks_since_ms < 0:
        return []
    begin_ms = state.speaks_since_ms
    state.speaks_since_ms = state.silent_since_ms = -1
    if end_ms - begin_ms < OPTIONS.min_speech_ms:
        return []
    return [Utterance(max(0, begin_ms - OPTIONS.padding_ms), end_ms + OPTIONS.padding_ms)]
