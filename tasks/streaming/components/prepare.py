"""prepare: blocks of any rate and channel count to 16 kHz mono, with speech probabilities from the VAD."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator

import numpy as np
import structlog

from tasks import storage
from tasks.audio import SAMPLE_RATE_HZ, SAMPLES_PER_MS
from tasks.contract import TRANSIENT_REASONS, InputRejected, StepError
from tasks.media.decoding.downmix import Downmixer
from tasks.media.decoding.isolated import IsolatedDecoder
from tasks.media.decoding.mono import Resampler
from tasks.media.findings import MediaRejected
from tasks.media.speech_activity import N_WINDOW, SpeechNetwork
from tasks.streaming.runtime.messages import MAX_BLOB_BYTES, AudioBlock, PreparedAudio, State, from_pcm, pcm
from tasks.streaming.runtime.session import Component, IdleTimeout

log = structlog.get_logger()

VERSION = 1
CONTEXT_S = 0.02  # context on both sides for resampling; the filter is shorter
JITTER_MS = 20  # tolerance between presentation times and the count of samples
MAX_FILLED_GAP_MS = 2_000  # gaps up to this are filled with silence; after longer ones the timeline jumps


class PrepareState(State):
    session: str
    sequence: int = 0
    rate_hz: int = 0
    expected_ms: float = -1.0
    """Expected start of the next block; negative before the first."""
    source: bytes = b""
    """Samples at the source's rate, float32: `n_context` units that are resampled already, then those that are not."""
    n_context: int = 0
    first_sample: int = 0
    """Position of the first sample of `ready` on the timeline."""
    ready: bytes = b""
    """Resampled audio, less than a VAD window, float32."""
    network: bytes = b""
    digest: str = ""


class PrepareSession:
    """One session."""

    def __init__(self, session: str, saved: bytes | None = None, decoder: IsolatedDecoder | None = None) -> None:
        """`decoder`: of Opus blocks, shared by the sessions of a worker."""
        self.state = PrepareState.model_validate_json(saved) if saved else PrepareState(session=session)
        self._decoder = decoder or IsolatedDecoder()
        self._network = SpeechNetwork()
        if self.state.network:
            self._network.state = np.frombuffer(self.state.network, "<f4")

    def save(self) -> bytes:
        self.state.network = self._network.state.astype("<f4").tobytes()
        return self.state.model_dump_json().encode()

    def push(self, block: AudioBlock) -> Iterator[PreparedAudio]:
        state = self.state
        block = with_fetched_audio(block)
        state.digest = hashlib.sha256(state.digest.encode() + block.audio).hexdigest()
        samples, rate_hz = downmix(block, self._decoder)
        if len(samples):
            missing_ms = block.start_ms - state.expected_ms if state.expected_ms >= 0 else math.inf
            if missing_ms > MAX_FILLED_GAP_MS or rate_hz != state.rate_hz:
                yield from self._emit(self._resample(flush=True), block, flush=True)
                self._begin(block.start_ms, rate_hz)
            elif missing_ms > JITTER_MS:
                self._append(np.zeros(round(missing_ms * rate_hz / 1000), np.float32))
            self._append(samples)
        yield from self._emit(self._resample(flush=block.is_last), block, flush=block.is_last)

    def _begin(self, start_ms: int, rate_hz: int) -> None:
        state = self.state
        state.rate_hz, state.expected_ms = rate_hz, float(start_ms)
        state.source, state.n_context, state.ready = b"", 0, b""
        state.first_sample = max(state.first_sample, start_ms * SAMPLES_PER_MS)
        self._network.reset()

    def _append(self, samples: np.ndarray) -> None:
        # The timeline is the count of samples: gaps too short to be filled add up until they are filled, and backward
        # jumps of the clock are ignored.
        state = self.state
        state.source += samples.astype("<f4").tobytes()
        state.expected_ms += 1000 * len(samples) / state.rate_hz

    def _resample(self, flush: bool) -> np.ndarray:
        """Return all audio that can be resampled with its context, float32, shape (n_samples,).

        Works in units that are whole samples at both rates, with a new resampler and context for each call: the saved
        state is a few samples instead of the filter's state.
        """
        state = self.state
        if not state.rate_hz:
            return np.zeros(0, np.float32)
        source = np.frombuffer(state.source, "<f4")
        per_s = math.gcd(state.rate_hz, SAMPLE_RATE_HZ)
        unit_in, unit_out = state.rate_hz // per_s, SAMPLE_RATE_HZ // per_s
        n_context = 0 if unit_in == unit_out else math.ceil(CONTEXT_S * per_s)
        n_units = len(source) // unit_in
        end = n_units if flush else n_units - n_context
        if end <= state.n_context:
            return np.zeros(0, np.float32)
        resampler = Resampler(state.rate_hz, SAMPLE_RATE_HZ)
        to_resample = source if flush else source[: n_units * unit_in]
        resampled = np.concatenate([resampler.push(to_resample), resampler.finish()])
        first = max(0, end - n_context)
        begin, state.n_context = state.n_context, end - first
        state.source = source[first * unit_in :].tobytes()
        return resampled[begin * unit_out : None if flush else end * unit_out]

    def _emit(self, samples: np.ndarray, block: AudioBlock, flush: bool) -> Iterator[PreparedAudio]:
        """Yield whole VAD windows; with `flush` also the rest, padded with silence."""
        state = self.state
        ready = np.concatenate([np.frombuffer(state.ready, "<f4"), samples])
        n_whole = len(ready) // N_WINDOW * N_WINDOW
        if flush and len(ready) > n_whole:
            ready = np.pad(ready, (0, n_whole + N_WINDOW - len(ready)))
            n_whole = len(ready)
        state.ready = ready[n_whole:].astype("<f4").tobytes()
        is_last = block.is_last and flush
        if not n_whole and not is_last:
            return
        windows = ready[:n_whole].reshape(-1, N_WINDOW)  # (n_windows, N_WINDOW)
        probabilities = self._network(windows).tolist() if n_whole else []
        yield PreparedAudio(
            session=state.session,
            sequence=state.sequence,
            start_ms=state.first_sample // SAMPLES_PER_MS,
            captured_at=block.captured_at,
            is_last=is_last,
            first_sample=state.first_sample,
            audio=pcm(windows.ravel()),
            speech=tuple(round(p, 3) for p in probabilities),
            digest=state.digest if is_last else "",
        )
        state.sequence += 1
        state.first_sample += n_whole


def with_fetched_audio(block: AudioBlock) -> AudioBlock:
    """Return the block with the audio that it references, or without audio if the object is unreadable or invalid."""
    if not block.audio_uri:
        return block
    audio = b""
    try:
        with storage.open_reader(block.audio_uri) as file:
            audio = file.read(MAX_BLOB_BYTES + 1)
        if len(audio) > MAX_BLOB_BYTES:
            raise ValueError(f"more than {MAX_BLOB_BYTES} bytes")
        if block.encoding == "pcm":
            block.validate_pcm(audio)
    except Exception as error:
        # A bad reference must not stop the worker. Storage that does not respond is not the message's fault.
        is_file_error = isinstance(error, OSError) and storage.is_permanent_file_error(error)
        if not (is_file_error or storage.is_access_denied(error) or isinstance(error, InputRejected | ValueError)):
            raise
        log.warning("audio of a block is lost", session=block.session, sequence=block.sequence, error=str(error))
        audio = b""
    return block.model_copy(update={"audio": audio, "audio_uri": ""})


def downmix(block: AudioBlock, decoder: IsolatedDecoder) -> tuple[np.ndarray, int]:
    """Return a block's mono samples, float32, shape (n_samples,), and their rate. Empty if undecodable.

    Raises:
        StepError: the decoder was stopped for what is not the block's fault.
    """
    if not block.audio:
        return np.zeros(0, np.float32), block.sample_rate_hz
    if block.encoding == "opus":
        try:
            return decoder.load_audio(block.audio)[: block.duration_ms * SAMPLES_PER_MS], SAMPLE_RATE_HZ
        except MediaRejected as error:
            if error.reason in TRANSIENT_REASONS:
                raise StepError(
                    f"a block was not decoded: {error}",
                    reason=error.reason,
                    subject=block.session,
                    next_step="start the worker again; it resumes before this block",
                ) from error
            log.warning("block cannot be decoded", session=block.session, sequence=block.sequence, error=str(error))
            return np.zeros(0, np.float32), SAMPLE_RATE_HZ
    interleaved = from_pcm(block.audio).reshape(-1, block.n_channels)  # (n_samples, n_channels)
    channels = np.ascontiguousarray(interleaved.T)  # (n_channels, n_samples)
    return Downmixer(block.n_channels, block.sample_rate_hz).mix(channels), block.sample_rate_hz


def last_block(session: str, sequence: int) -> AudioBlock:
    """Return the last message of a session, as a feeder sends it."""
    return AudioBlock(
        session=session, sequence=sequence, start_ms=0, captured_at=0.0, n_channels=1, audio=b"", is_last=True
    )


def component(ends_after_s: float = 0.0) -> Component:
    """Create the component. Sessions without messages for `ends_after_s` are ended; 0: never."""
    idle_timeout = IdleTimeout(ends_after_s, last_block) if ends_after_s else None
    decoder = IsolatedDecoder()  # starts a process with the first Opus block

    def open_session(session: str, saved: bytes | None) -> PrepareSession:
        return PrepareSession(session, saved, decoder)

    return Component("prepare", AudioBlock, open_session, VERSION, idle_timeout)
