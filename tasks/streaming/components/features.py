"""features: 16 kHz mono to the model's log-mel frames, equal to those of the batch path before normalisation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tasks.features.logmel import LogMel
from tasks.streaming.runtime.messages import LiveFeatures, PreparedAudio, State, from_pcm
from tasks.streaming.runtime.session import Component

VERSION = 1


class FeaturesState(State):
    session: str
    sequence: int = 0
    next_frame: int = 0
    """Index of the next frame, counted from `begin_sample`."""
    begin_sample: int = 0
    """Start of the current run of audio without gaps."""
    next_sample: int = -1
    """Expected start of the next message; negative before the first."""
    audio: bytes = b""
    """Samples that later frames need, 16-bit."""


class FeaturesSession:
    """One session."""

    def __init__(self, logmel: LogMel, session: str, saved: bytes | None = None) -> None:
        self.state = FeaturesState.model_validate_json(saved) if saved else FeaturesState(session=session)
        self._logmel = logmel
        config = logmel.config
        self._margin = config.n_fft // 2
        # Lead-in frames, computed and discarded: pre-emphasis needs the previous sample, and the first frames of a
        # signal are padded with silence on the left.
        self._n_lead = -(-(self._margin + 1) // config.hop_samples)

    def save(self) -> bytes:
        return self.state.model_dump_json().encode()

    def push(self, message: PreparedAudio) -> Iterator[LiveFeatures]:
        state = self.state
        if message.audio and message.first_sample != state.next_sample:
            state.begin_sample, state.next_frame, state.audio = message.first_sample, 0, b""
        state.audio += message.audio
        if message.audio:
            state.next_sample = message.first_sample + len(message.audio) // 2
        hop = self._logmel.config.hop_samples
        first_sample = state.begin_sample + state.next_frame * hop
        features = self._complete_frames(flush=message.is_last)
        yield LiveFeatures(
            session=state.session,
            sequence=state.sequence,
            start_ms=message.start_ms,
            captured_at=message.captured_at,
            is_last=message.is_last,
            first_sample=first_sample,
            n_features=self._logmel.config.n_mels,
            features=features.astype("<f4").tobytes(),
            audio=message.audio,
            speech=message.speech,
            digest=message.digest,
        )
        state.sequence += 1

    def _complete_frames(self, flush: bool) -> np.ndarray:
        """Return frames with a full window, (n_frames, n_mels); with `flush` also those that the batch path pads."""
        state, hop = self.state, self._logmel.config.hop_samples
        samples = from_pcm(state.audio)
        lead = min(state.next_frame, self._n_lead)
        n_complete = len(samples) // hop if flush else (len(samples) - self._margin) // hop + 1
        n_new = max(0, n_complete - lead)
        if not n_new:
            return np.zeros((0, self._logmel.config.n_mels), np.float32)
        # One frame per whole hop. Padding lets the last one be computed, and does not reach into it.
        features = self._logmel([np.pad(samples, (0, hop))])[0][lead : lead + n_new]  # (n_new, n_mels)
        state.next_frame += n_new
        n_kept = min(state.next_frame, self._n_lead)
        state.audio = state.audio[2 * hop * (lead + n_new - n_kept) :]
        return np.asarray(features.numpy())


def component(model: Path) -> Component:
    from tasks.streaming.decoding.loading import streamed_features

    logmel = LogMel(streamed_features(model))
    return Component("features", PreparedAudio, lambda session, saved: FeaturesSession(logmel, session, saved), VERSION)
