"""Collect decoded frames of one format into larger blocks of float samples.

A decoder's frames hold 20 ms. They pass through FFmpeg's FIFO in pieces that fit a core's cache, then into one block
whose memory is reused for the next. Reading whole blocks from the FIFO, each into newly allocated memory, caused 10,000
page faults per minute of AAC in a fresh process and took as long as decoding. This takes about half of that time and
causes hardly any page faults.
"""

from __future__ import annotations

import numpy as np
from av.audio.fifo import AudioFifo
from av.audio.frame import AudioFrame
from av.audio.plane import AudioPlane

# Samples of all channels read from the FIFO at once: 256 kB of float. Per frame, two NumPy calls a channel would take
# longer than the FIFO does.
PIECE_SAMPLES = 65_536

# FFmpeg's sample formats: NumPy type, zero, full scale. A trailing "p" means planar: one plane per channel.
SAMPLE_FORMATS: dict[str, tuple[np.dtype, float, float]] = {
    "u8": (np.dtype("u1"), 128.0, 2.0**7),
    "s16": (np.dtype("i2"), 0.0, 2.0**15),
    "s32": (np.dtype("i4"), 0.0, 2.0**31),
    "s64": (np.dtype("i8"), 0.0, 2.0**63),
    "flt": (np.dtype("f4"), 0.0, 1.0),
    "dbl": (np.dtype("f8"), 0.0, 1.0),
}


class BlockBuffer:
    """Accumulates one block. `n_samples` is its length so far."""

    def __init__(self, sample_format: str, n_channels: int, block_samples: int) -> None:
        """`sample_format`: FFmpeg's name. `block_samples`: the approximate length of a block."""
        self._format, self._n_channels = sample_format, n_channels
        self._queue = AudioFifo()
        self._queued = 0
        self._piece_samples = max(1, PIECE_SAMPLES // n_channels)
        self._memory = self._allocate(block_samples + self._piece_samples)  # (n_channels, capacity)
        self._is_lent = False
        self.n_samples = 0

    def push(self, frame: AudioFrame, n_samples: int) -> None:
        """Append a frame of the buffer's format. Clears its timestamp."""
        frame.pts = None  # otherwise the FIFO checks timestamps against its own count
        self._queue.write(frame)
        self._queued += n_samples
        self.n_samples += n_samples
        if self._queued >= self._piece_samples:
            self._empty_queue()

    def take(self) -> np.ndarray:
        """Return the block, `(n_channels, n_samples)` float32, full scale at 1, and begin a new one.

        The caller may use the memory until `reclaim`.
        """
        self._empty_queue()
        block = self._memory[:, : self.n_samples]  # (n_channels, n_samples), a view
        self._is_lent = True
        self.n_samples = 0
        return block

    def reclaim(self) -> None:
        """Allow the memory of blocks taken so far to be reused."""
        self._is_lent = False

    def _empty_queue(self) -> None:
        if not self._queued:
            return
        frame = self._queue.read()
        assert frame is not None
        begin = self.n_samples - self._queued
        self._queued = 0
        if self._is_lent:
            self._memory, self._is_lent = self._allocate(self._memory.shape[1]), False
        if self.n_samples > self._memory.shape[1]:
            larger = self._allocate(2 * self.n_samples)
            larger[:, :begin] = self._memory[:, :begin]
            self._memory = larger
        write_floats(frame, self._format, self._memory[:, begin : self.n_samples])

    def _allocate(self, n_samples: int) -> np.ndarray:
        """`(n_channels, n_samples)`, planar or interleaved like the format: reordering costs more than it saves."""
        if self._format.endswith("p"):
            return np.empty((self._n_channels, n_samples), np.float32)
        return np.empty((n_samples, self._n_channels), np.float32).T


def write_floats(frame: AudioFrame, sample_format: str, samples: np.ndarray) -> None:
    """Write a frame's samples as floats, full scale at 1, into `samples`, `(n_channels, n_samples)`.

    Reads planes by number: `AudioFrame.to_ndarray()` of PyAV 18.1 looks for a null pointer after the last plane, which
    is not there with eight or more planes, and crashes (7.1 AAC).
    """
    dtype, zero, full_scale = SAMPLE_FORMATS[sample_format.removesuffix("p")]
    # (n_planes, n_values): one plane per channel, or a single interleaved one
    planes = samples if sample_format.endswith("p") else samples.T.reshape(1, -1)
    for number, values in enumerate(planes):
        values[:] = np.frombuffer(AudioPlane(frame, number), dtype, len(values))  # type: ignore[call-overload]
        if zero:
            values -= np.float32(zero)
        if full_scale != 1.0:
            values *= np.float32(1 / full_scale)
