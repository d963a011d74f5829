"""Speech activity detection: Silero's VAD network over a stream.

Tuned for recall: a missed word is lost for good, while music mistaken for speech costs a second of decoding. So the
threshold is low, speech ends only after a real pause, and both ends are padded. The model is `silero_vad_v6.onnx` from
the faster-whisper wheel; nothing is downloaded.
"""

from __future__ import annotations

import importlib.util
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tasks.audio import SAMPLE_RATE_HZ
from tasks.media.loudness import decibel

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

N_WINDOW = 512  # samples per prediction: 32 ms
N_CONTEXT = 64  # preceding samples that the network also sees
WINDOW_MS = 1000 * N_WINDOW // SAMPLE_RATE_HZ
N_STATE = 128

# Tracks are compared by windows at this probability, not by segments. Music and noise exceed the segment threshold in
# single windows, and padding turns each into a second of "speech". They reach this one in 2 of 1,000 windows, speech in
# 700.
CONFIDENT_PROBABILITY = 0.5
MIN_CONFIDENT_SPEECH_MS = 200

SILENT_PEAK = 10 ** (-75 / 20)  # below this peak the network is skipped

# A long segment is cut where the level over three windows (0.1 s) is low and the speech probability too; a probability
# of 1 weighs as much as 10 dB. On read speech with music or noise 10 dB below it, 77 to 82 % of such cuts fall where
# the speech has less than a hundredth of its mean power; of random cuts, 11 %.
PAUSE_WINDOWS = 3
CERTAINTY_DB = 10.0
PAUSE_EVERY_MS = 1000


@dataclass(frozen=True, slots=True)
class SpeechActivityOptions:
    """Thresholds and durations of speech detection."""

    threshold: float = 0.2  # speech begins at this probability
    release: float = 0.1  # and can end only below this one
    min_speech_ms: int = 64
    min_silence_ms: int = 400  # a shorter pause does not end it
    padding_ms: int = 400  # before and after: the network reacts late to speech after silence


@dataclass(frozen=True, slots=True)
class Pause:
    """A candidate for a cut inside a segment. The lower its `cost`, the less harm it does."""

    at_ms: int
    cost: float


@dataclass(frozen=True, slots=True)
class SpeechSegment:
    """A span that contains speech. `pauses`: the best place to cut in each second of it."""

    start_ms: int
    end_ms: int
    pauses: tuple[Pause, ...] = ()

    @property
    def duration_ms(self) -> int:
        return self.end_ms - self.start_ms


def speech_segments(
    blocks: Iterable[np.ndarray], options: SpeechActivityOptions | None = None
) -> Iterator[SpeechSegment]:
    """Yield the speech segments of a stream of mono blocks at 16 kHz, in order, without overlap."""
    activity = SpeechActivity(options)
    for block in blocks:
        yield from activity.push(block)
    yield from activity.finish()


def has_speech(samples: np.ndarray) -> bool:
    """Whether the network is confident of speech in `(n_samples,)` at 16 kHz. Stricter than the segments, which also
    hold what might be speech."""
    activity = SpeechActivity()
    activity.push(samples)
    activity.finish()
    return activity.confident_speech_ms >= MIN_CONFIDENT_SPEECH_MS


class SpeechActivity:
    """Push-style `speech_segments`, for a caller that also uses the blocks otherwise. Runs in constant memory."""

    def __init__(self, options: SpeechActivityOptions | None = None) -> None:
        self._network = SpeechNetwork()
        self._segmenter = Segmenter(options or SpeechActivityOptions())
        self._rest = np.zeros(0, np.float32)
        self._n_samples = 0
        self.confident_speech_ms = 0  # total of windows at `CONFIDENT_PROBABILITY` or above, without padding

    @property
    def speech_ms(self) -> int:
        """Total length of the segments returned so far."""
        return self._segmenter.speech_ms

    def push(self, block: np.ndarray) -> list[SpeechSegment]:
        """Take a block, `(n_samples,)` float32, and return the segments that are final by now."""
        self._n_samples += len(block)
        joined = np.concatenate([self._rest, block]) if len(self._rest) else block
        n_whole = len(joined) // N_WINDOW * N_WINDOW
        self._rest = joined[n_whole:].copy()
        return self._detect(joined[:n_whole])

    def finish(self) -> list[SpeechSegment]:
        """Return the segments that were still open at the end of the stream."""
        segments: list[SpeechSegment] = []
        if len(self._rest):
            segments = self._detect(np.pad(self._rest, (0, N_WINDOW - len(self._rest))))
        return segments + self._segmenter.finish(1000 * self._n_samples // SAMPLE_RATE_HZ)

    def _detect(self, samples: np.ndarray) -> list[SpeechSegment]:
        if not len(samples):
            return []
        windows = samples.reshape(-1, N_WINDOW)  # (n_windows, 512)
        probabilities = self._network(windows)  # (n_windows,)
        self.confident_speech_ms += WINDOW_MS * int(np.count_nonzero(probabilities >= CONFIDENT_PROBABILITY))
        powers = np.einsum("ij,ij->i", windows, windows) / N_WINDOW  # (n_windows,)
        return self._segmenter.push(probabilities.tolist(), powers.tolist())


class SpeechNetwork:
    """Silero's network with its state: `(n_windows, 512)` samples to `(n_windows,)` speech probabilities."""

    def __init__(self) -> None:
        self._session = _session()
        self.reset()

    def reset(self) -> None:
        """Clear the state."""
        self._hidden = np.zeros((1, 1, N_STATE), np.float32)
        self._cell = np.zeros((1, 1, N_STATE), np.float32)
        self._context = np.zeros((1, N_CONTEXT), np.float32)

    @property
    def state(self) -> np.ndarray:
        """The whole state, `(2 * N_STATE + N_CONTEXT,)` float32; assignable."""
        return np.concatenate([self._hidden.ravel(), self._cell.ravel(), self._context.ravel()])

    @state.setter
    def state(self, state: np.ndarray) -> None:
        hidden, cell, context = np.split(state.astype(np.float32), [N_STATE, 2 * N_STATE])
        self._hidden, self._cell = hidden.reshape(1, 1, -1), cell.reshape(1, 1, -1)
        self._context = context.reshape(1, -1)

    def __call__(self, windows: np.ndarray) -> np.ndarray:
        if max(float(windows.max()), -float(windows.min())) < SILENT_PEAK:
            self.reset()
            return np.zeros(len(windows), np.float32)
        context = np.concatenate([self._context, windows[:-1, -N_CONTEXT:]])  # (n_windows, 64)
        self._context = windows[-1:, -N_CONTEXT:].copy()
        probabilities, self._hidden, self._cell = self._session.run(
            None,
            {"input": np.concatenate([context, windows], axis=1), "h": self._hidden, "c": self._cell},
        )
        return np.asarray(probabilities).reshape(-1)


class Segmenter:
    """Turns speech probabilities, one per 32 ms, into padded segments."""

    def __init__(self, options: SpeechActivityOptions) -> None:
        self._options = options
        self._window = 0
        self._start: int | None = None  # first window of the open segment
        self._silent_since: int | None = None
        self._pauses: list[Pause] = []
        self._recent: deque[float] = deque([0.0] * PAUSE_WINDOWS, PAUSE_WINDOWS)  # costs of the last few windows
        self._recent_cost = 0.0
        self._held: SpeechSegment | None = None  # closed, but the next one may still merge with it
        self.speech_ms = 0

    def push(self, probabilities: list[float], powers: list[float]) -> list[SpeechSegment]:
        """Return the segments that later windows cannot change."""
        done: list[SpeechSegment] = []
        for probability, power in zip(probabilities, powers, strict=True):
            self._step(probability, power, done)
            self._window += 1
        now_ms = self._window * WINDOW_MS
        is_past = self._held and self._held.end_ms + self._options.padding_ms < now_ms
        if self._held and is_past and self._start is None:
            done.append(self._held)
            self._held = None
        self.speech_ms += sum(segment.duration_ms for segment in done)
        return done

    def finish(self, end_ms: int) -> list[SpeechSegment]:
        """Return the remaining segments of a stream that ends at `end_ms`."""
        done: list[SpeechSegment] = []
        if self._start is not None:
            self._close(self._silent_since or self._window, done)
        if self._held:
            end = min(self._held.end_ms, end_ms)
            done.append(SpeechSegment(self._held.start_ms, end, tuple(p for p in self._held.pauses if p.at_ms < end)))
            self._held = None
        self.speech_ms += sum(segment.duration_ms for segment in done)
        return done

    def _step(self, probability: float, power: float, done: list[SpeechSegment]) -> None:
        cost = decibel(power) + CERTAINTY_DB * probability
        self._recent_cost += cost - self._recent[0]
        self._recent.append(cost)
        if self._start is None:
            if probability >= self._options.threshold:
                self._start, self._silent_since = self._window, None
            return
        self._note_pause()
        if probability >= self._options.threshold:
            self._silent_since = None
        elif probability < self._options.release:
            if self._silent_since is None:
                self._silent_since = self._window
            elif (self._window - self._silent_since) * WINDOW_MS >= self._options.min_silence_ms:
                self._close(self._silent_since, done)

    def _note_pause(self) -> None:
        """Keep the cheapest pause of each second."""
        assert self._start is not None
        at_ms = (self._window - PAUSE_WINDOWS // 2) * WINDOW_MS + WINDOW_MS // 2
        if at_ms <= self._start * WINDOW_MS:
            return
        pause = Pause(at_ms, round(self._recent_cost / PAUSE_WINDOWS, 1))
        if not self._pauses or at_ms // PAUSE_EVERY_MS != self._pauses[-1].at_ms // PAUSE_EVERY_MS:
            self._pauses.append(pause)
        elif pause.cost < self._pauses[-1].cost:
            self._pauses[-1] = pause

    def _close(self, end_window: int, done: list[SpeechSegment]) -> None:
        assert self._start is not None
        start_ms, end_ms = self._start * WINDOW_MS, end_window * WINDOW_MS
        pauses = tuple(pause for pause in self._pauses if pause.at_ms < end_ms)
        self._start, self._silent_since, self._pauses = None, None, []
        if end_ms - start_ms < self._options.min_speech_ms:
            return
        start_ms, end_ms = max(0, start_ms - self._options.padding_ms), end_ms + self._options.padding_ms
        if self._held and self._held.end_ms >= start_ms:
            between = Pause((self._held.end_ms + start_ms) // 2, decibel(0.0))
            self._held = SpeechSegment(self._held.start_ms, end_ms, (*self._held.pauses, between, *pauses))
            return
        if self._held:
            done.append(self._held)
        self._held = SpeechSegment(start_ms, end_ms, pauses)


@lru_cache(maxsize=1)
def _session() -> InferenceSession:
    """The ONNX session, single-threaded; safe to share between threads."""
    import onnxruntime

    package = importlib.util.find_spec("faster_whisper")  # not imported: that takes seconds
    if package is None or not package.submodule_search_locations:
        raise RuntimeError("Silero's model is part of the faster-whisper wheel: install the worker extra")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    model = Path(package.submodule_search_locations[0]) / "assets" / "silero_vad_v6.onnx"
    return onnxruntime.InferenceSession(str(model), sess_options=options, providers=["CPUExecutionProvider"])
