"""diarize: provisional speakers of what is being said.

Every second of an utterance is heard with the one before it by the embedding network of the batch path, and belongs to
the nearest voice so far. The turns of an utterance may change until it ends; then they are final. What the night finds
with all of a programme before it is better: it may hear the session again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from tasks.audio import SAMPLES_PER_MS
from tasks.contract import Misconfigured, Reason
from tasks.streaming.components import endpointing
from tasks.streaming.components.endpointing import EndpointState
from tasks.streaming.components.speakers import KnownVoices
from tasks.streaming.runtime.messages import LiveFeatures, LiveTurn, LiveVoices, State, from_pcm
from tasks.streaming.runtime.session import Component

VERSION = 2
HEARD_MS = 2_000  # what a voice is told by
STEP_MS = 1_000
LEAST_MS = 700  # less speech tells no voice
ENOUGH_MS = 1_500  # less makes no new one
# Distance on the unit sphere below which two seconds belong to a voice. Clustering whole programmes compares centroids
# and has a stricter one. On synthetic speech, two seconds of one voice are 0.4 to 1.1 apart, of two voices 1.3 to 1.5.
NEAR = 1.15
NONE = "none"

Embed = Callable[[np.ndarray], np.ndarray]
"""`(n_samples,)` float32 at 16 kHz to `(dimension,)`."""


class DiarizeState(State):
    session: str
    sequence: int = 0
    endpoint: EndpointState = EndpointState()
    voices: KnownVoices = KnownVoices()
    audio: bytes = b""
    """The last of it, 16-bit."""
    heard_ms: int = 0
    """Up to here voices were told apart."""
    turns: tuple[LiveTurn, ...] = ()
    """Of the utterance that goes on."""


class DiarizeSession:
    """One session."""

    def __init__(self, embed: Embed | None, session: str, saved: bytes | None = None) -> None:
        self.state = (
            DiarizeState.model_validate_json(saved)
            if saved
            else DiarizeState(session=session, endpoint=EndpointState(), voices=KnownVoices())
        )
        self._embed = embed

    def save(self) -> bytes:
        return self.state.model_dump_json().encode()

    def push(self, message: LiveFeatures) -> Iterator[LiveVoices]:
        state = self.state
        yield LiveVoices(
            **message.model_dump(exclude={"sequence", "audio"}),
            sequence=state.sequence,
            turns=tuple(self._turns(message)) if self._embed else (),
        )
        state.sequence += 1

    def _turns(self, message: LiveFeatures) -> Iterator[LiveTurn]:
        """All turns of the utterance when one was heard anew; final ones when it ends."""
        state = self.state
        state.audio = (state.audio + message.audio)[-2 * HEARD_MS * SAMPLES_PER_MS :]
        end_ms = message.start_ms + len(message.speech) * endpointing.WINDOW_MS
        ended = endpointing.advance(state.endpoint, message.speech, message.start_ms)
        if message.is_last:
            ended += endpointing.close(state.endpoint, end_ms)
        for utterance in ended:
            self._hear(utterance.start_ms, min(utterance.end_ms, end_ms), end_ms)
            yield from (turn.model_copy(update={"is_final": True}) for turn in state.turns)
            state.turns = ()
        begin_ms = state.endpoint.speaks_since_ms
        if begin_ms >= 0 and end_ms - max(begin_ms, state.heard_ms) >= STEP_MS:
            self._hear(begin_ms, end_ms, end_ms)
            yield from state.turns

    def _hear(self, begin_ms: int, until_ms: int, end_ms: int) -> None:
        """Say whose voice is heard from where the last one was told up to `until_ms`."""
        state = self.state
        from_ms = max(begin_ms, state.heard_ms)
        state.heard_ms = max(state.heard_ms, until_ms)
        if until_ms <= from_ms:
            return
        samples = from_pcm(state.audio)
        first_ms = max(begin_ms, end_ms - len(samples) // SAMPLES_PER_MS)
        n_before_end = (end_ms - first_ms) * SAMPLES_PER_MS
        heard = samples[max(0, len(samples) - n_before_end) : len(samples) - (end_ms - until_ms) * SAMPLES_PER_MS]
        speaker = state.turns[-1].speaker if state.turns else ""
        heard_ms = len(heard) // SAMPLES_PER_MS
        if heard_ms >= LEAST_MS and self._embed is not None:
            voice = state.voices.hear(self._embed(heard), NEAR, may_be_new=heard_ms >= ENOUGH_MS)
            speaker = f"S{voice + 1}" if voice is not None else speaker
        if not speaker:
            return
        last = state.turns[-1] if state.turns else None
        if last and last.speaker == speaker and last.end_ms >= from_ms:
            state.turns = (*state.turns[:-1], last.model_copy(update={"end_ms": until_ms}))
        else:
            turn = LiveTurn(start_ms=from_ms, end_ms=until_ms, speaker=speaker, is_final=False)
            state.turns = (*state.turns, turn)


def component(diarizer: str = NONE) -> Component:
    """With `none`, nobody is told apart.

    Raises:
        Misconfigured: a diarizer other than the embedded one.
    """
    embed = _network(diarizer) if diarizer != NONE else None
    return Component("diarize", LiveFeatures, lambda session, saved: DiarizeSession(embed, session, saved), VERSION)


def _network(diarizer: str) -> Embed:
    from tasks import diarization

    if diarizer != diarization.EMBEDDED:
        raise Misconfigured(
            "live speakers are told apart by the embedded diarizer only",
            reason=Reason.INVALID_ARGUMENT,
            subject=diarizer,
            next_step=f"give {diarization.EMBEDDED} or {NONE}",
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
