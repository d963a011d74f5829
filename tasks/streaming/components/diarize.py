"""diarize: provisional speaker turns.

For every second of an utterance the batch path's embedding network embeds that second and the one before it, and the
embedding is assigned to the nearest speaker so far. The turns of an utterance may change until it ends, and are final
then. Diarization of the recording by the night is better, since it has the whole programme.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from pydantic import Field

from tasks.audio import SAMPLES_PER_MS
from tasks.contract import Misconfigured, Reason
from tasks.streaming.components import endpointing
from tasks.streaming.components.endpointing import EndpointState
from tasks.streaming.components.speakers import SpeakerCentroids
from tasks.streaming.runtime.messages import LiveFeatures, LiveTurn, LiveVoices, State, from_pcm
from tasks.streaming.runtime.session import Component

VERSION = 2
EMBEDDING_MS = 2_000  # duration of the audio that is embedded
STEP_MS = 1_000
MIN_EMBEDDING_MS = 700  # shorter audio gets no embedding
MIN_NEW_SPEAKER_MS = 1_500  # shorter audio starts no new speaker
# Distance of unit vectors below which an embedding belongs to a speaker. Batch clustering compares centroids and is
# stricter. In synthetic speech, two seconds of one voice are 0.4 to 1.1 apart, of two voices 1.3 to 1.5.
MAX_DISTANCE = 1.15
NO_DIARIZER = "none"

Embed = Callable[[np.ndarray], np.ndarray]
"""float32 audio at 16 kHz, shape (n_samples,), to an embedding, shape (dimension,)."""


class DiarizeState(State):
    session: str
    sequence: int = 0
    endpoint: EndpointState = EndpointState()
    voices: SpeakerCentroids = SpeakerCentroids()
    audio: bytes = b""
    """The last seconds, 16-bit."""
    assigned_ms: int = Field(default=0, alias="heard_ms")
    """Speakers are assigned up to here."""
    turns: tuple[LiveTurn, ...] = ()
    """Turns of the open utterance."""


class DiarizeSession:
    """One session."""

    def __init__(self, embed: Embed | None, session: str, saved: bytes | None = None) -> None:
        self.state = (
            DiarizeState.model_validate_json(saved)
            if saved
            else DiarizeState(session=session, endpoint=EndpointState(), voices=SpeakerCentroids())
        )
        self._embed = embed

    def save(self) -> bytes:
        return self.state.model_dump_json().encode()

    def push(self, message: LiveFeatures) -> Iterator[LiveVoices]:
        state = self.state
        yield LiveVoices(
            **message.model_dump(exclude={"sequence", "audio"}),
            sequence=state.sequence,
            turns=tuple(self._update_turns(message)) if self._embed else (),
        )
        state.sequence += 1

    def _update_turns(self, message: LiveFeatures) -> Iterator[LiveTurn]:
        """Assign speakers. Yield all turns of the open utterance after each assignment, the final turns at its end."""
        state = self.state
        state.audio = (state.audio + message.audio)[-2 * EMBEDDING_MS * SAMPLES_PER_MS :]
        end_ms = message.start_ms + len(message.speech) * endpointing.WINDOW_MS
        ended = endpointing.advance(state.endpoint, message.speech, message.start_ms)
        if message.is_last:
            ended += endpointing.close(state.endpoint, end_ms)
        for utterance in ended:
            self._assign_speaker(utterance.start_ms, min(utterance.end_ms, end_ms), end_ms)
            yield from (turn.model_copy(update={"is_final": True}) for turn in state.turns)
            state.turns = ()
        begin_ms = state.endpoint.speaks_since_ms
        if begin_ms >= 0 and end_ms - max(begin_ms, state.assigned_ms) >= STEP_MS:
            self._assign_speaker(begin_ms, end_ms, end_ms)
            yield from state.turns

    def _assign_speaker(self, begin_ms: int, until_ms: int, end_ms: int) -> None:
        """Assign a speaker to the utterance from the last assignment to `until_ms`. The audio held ends at `end_ms`."""
        state = self.state
        from_ms = max(begin_ms, state.assigned_ms)
        state.assigned_ms = max(state.assigned_ms, until_ms)
        if until_ms <= from_ms:
            return
        samples = from_pcm(state.audio)  # (n_samples,)
        first_ms = max(begin_ms, end_ms - len(samples) // SAMPLES_PER_MS)
        n_before_end = (end_ms - first_ms) * SAMPLES_PER_MS
        embedded = samples[max(0, len(samples) - n_before_end) : len(samples) - (end_ms - until_ms) * SAMPLES_PER_MS]
        speaker = state.turns[-1].speaker if state.turns else ""
        embedded_ms = len(embedded) // SAMPLES_PER_MS
        if embedded_ms >= MIN_EMBEDDING_MS and self._embed is not None:
            speaker_index = state.voices.assign(
                self._embed(embedded), MAX_DISTANCE, may_be_new=embedded_ms >= MIN_NEW_SPEAKER_MS
            )
            speaker = f"S{speaker_index + 1}" if speaker_index is not None else speaker
        if not speaker:
            return
        last = state.turns[-1] if state.turns else None
        if last and last.speaker == speaker and last.end_ms >= from_ms:
            state.turns = (*state.turns[:-1], last.model_copy(update={"end_ms": until_ms}))
        else:
            turn = LiveTurn(start_ms=from_ms, end_ms=until_ms, speaker=speaker, is_final=False)
            state.turns = (*state.turns, turn)


def component(diarizer: str = NO_DIARIZER) -> Component:
    """Create the component, with the embedded diarizer or without any.

    Raises:
        Misconfigured: another diarizer.
    """
    embed = _load_embedding(diarizer) if diarizer != NO_DIARIZER else None
    return Component("diarize", LiveFeatures, lambda session, saved: DiarizeSession(embed, session, saved), VERSION)


def _load_embedding(diarizer: str) -> Embed:
    from tasks import diarization

    if diarizer != diarization.EMBEDDED:
        raise Misconfigured(
            "live diarization supports only the embedded diarizer",
            reason=Reason.INVALID_ARGUMENT,
            subject=diarizer,
            next_step=f"use {diarization.EMBEDDED} or {NO_DIARIZER}",
        )
    import torch

    from tasks.diarization.embedded import CONFIG_NAME, EmbeddedConfig, load_networks

    folder: Path = diarization.fetch(diarization.resolve(diarizer), Path())
    config = EmbeddedConfig.model_validate_json((folder / CONFIG_NAME).read_bytes())
    network = load_networks(folder, config)[0].eval()

    def embed(samples: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return np.asarray(network(torch.from_numpy(samples.copy())[None, None])[0].numpy())

    return embed
