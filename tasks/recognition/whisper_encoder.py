"""The encoder of a Whisper: features of a window, and encodings that are kept for later passes.

On CPUs a short chunk is encoded with less silence than fills 30 s: encoding 15 s takes less than half the time and half
the memory. On 100 recordings of read speech Whisper base makes no more errors for it (WER 18.0 % with 15 s, 19.5 % with
30 s). With less silence after the speech it begins to loop: 18.9 % with 12 s, 20.5 % with 10 s, 24.2 % with 8 s.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ctranslate2 import StorageView
    from faster_whisper import WhisperModel

FRAMES_PER_S = 50  # of the encoder's output
POOLED_FRAMES = 3
MAX_POOLED_WIDTH = 512  # d_model of Whisper base
MAX_CACHED = 64  # windows, in float16: of large-v3 3.8 MB each
WINDOW_S = 30
MIN_ENCODED_S, ENCODED_STEP_S = 15, 5
MIN_SILENCE_S = 3  # after the window's speech


def encoded_s(length_s: float) -> int:
    """Return the seconds to encode for a chunk of `length_s`. Few lengths, so that batches can be made of each."""
    needed_s = math.ceil((length_s + MIN_SILENCE_S) / ENCODED_STEP_S) * ENCODED_STEP_S
    return min(max(needed_s, MIN_ENCODED_S), WINDOW_S)


def pooled(encoded: np.ndarray) -> np.ndarray:
    """Return the mean of every `POOLED_FRAMES` frames of `(n, n_frames, d_model)`, for a decoder on a CPU.

    For each token the decoder waits for the keys and values of all frames, with Whisper base 37 MB a window, and
    neighbours say nearly the same. A beam of five takes two thirds of the time. On 2,548 words of read speech, alone,
    in music and in noise, Whisper base made 326 errors, 364 with the mean of two, and 407 with every frame. Languages
    and times of words are found in every frame: accented English was taken for Chinese more often, and 60 ms is coarse.
    Models wider than base, with which it was not measured, get every frame.
    """
    n, n_frames, d_model = encoded.shape
    if d_model > MAX_POOLED_WIDTH:
        return encoded
    n_pooled = n_frames // POOLED_FRAMES
    groups = encoded[:, : n_pooled * POOLED_FRAMES].reshape(n, n_pooled, POOLED_FRAMES, d_model)
    return np.asarray(groups.mean(axis=2), np.float32)


class WindowFeatures:
    """Replaces faster-whisper's feature extractor: log-mel of a window, including the silence after the chunk.

    Whisper was trained on audio padded with silence. Upstream pads the features instead, with zeros, which silence does
    not give; and its extractor is several times slower.
    """

    def __init__(self, model: WhisperModel) -> None:
        from tasks.features.config import whisper
        from tasks.features.logmel import LogMel

        vars(self).update(vars(model.feature_extractor))  # rates and lengths that faster-whisper reads from it
        # In torch, as transformers computes them: asrfront rounds otherwise, and where the decoder wavers between
        # repeating itself and going on, 1e-5 decides. Features take a hundredth of the encoder's time.
        self._log_mel = LogMel(whisper(model.model.n_mels), allows_native=False)

    def __call__(self, waveform: np.ndarray) -> np.ndarray:
        """`(n_samples,)` at 16 kHz to `(n_mels, n_frames + 1)`: the callers drop the last frame."""
        features = self._log_mel([waveform])[0].numpy().T  # (n_mels, n_frames)
        return np.pad(features, ((0, 0), (0, 1)))


class EncoderCache:
    """A model's encoder that keeps the latest encodings for decoding after language detection, for a second
    language and for another hearing. On CPUs a window costs as much to encode as to decode."""

    def __init__(self, model: WhisperModel) -> None:
        is_on_gpu = model.model.device == "cuda"
        self._encode = model.encode if is_on_gpu else _one_by_one(model.encode)
        self._type = np.float16 if is_on_gpu else np.float32
        self._cached: dict[bytes, np.ndarray] = {}
        self._lock = Lock()

    def on_host(self, features: np.ndarray) -> np.ndarray:
        """Encode `(n, n_mels, n_frames)` to `(n, n_frames // 2, d_model)` in the host's memory."""
        windows = features.reshape(-1, *features.shape[-2:])
        digests = [_digest(window) for window in windows]
        with self._lock:
            found = {digest: self._cached[digest] for digest in digests if digest in self._cached}
        missing = {digest: index for index, digest in enumerate(digests) if digest not in found}
        if missing:
            encoded = on_host(self._encode(windows[list(missing.values())]))
            found |= {digest: output.astype(np.float16) for digest, output in zip(missing, encoded, strict=True)}
        with self._lock:
            for digest in digests:
                self._cached.pop(digest, None)
                self._cached[digest] = found[digest]
            while len(self._cached) > MAX_CACHED:
                self._cached.pop(next(iter(self._cached)))
        return np.stack([found[digest] for digest in digests]).astype(self._type, copy=False)


def _one_by_one(encode: Callable[[np.ndarray], StorageView]) -> Callable[[np.ndarray], StorageView]:
    """For CPUs: with one window at a time attention stays in the cache (a window of small takes 2.1 s, 2.4 of six)."""

    def encode_each(features: np.ndarray) -> StorageView:
        from ctranslate2 import StorageView

        # Upstream passes a single window without the batch dimension.
        windows = features.reshape(-1, 1, *features.shape[-2:])  # (n, 1, n_mels, n_frames)
        return StorageView.from_array(np.concatenate([on_host(encode(window)) for window in windows]))

    return encode_each


def on_host(encoded: StorageView) -> np.ndarray:
    """Return an encoding in the host's memory."""
    from ctranslate2 import Device

    return np.asarray(encoded.to_device(Device.cpu))


def _digest(window: np.ndarray) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(window).data, digest_size=16).digest()
