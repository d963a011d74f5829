"""Frames of one shape, gathered to blocks of float samples.

A decoder's frames hold 20 ms. They pass through FFmpeg's queue in pieces that stay in a core's cache, and from there
into one block whose memory is used again for the next. When whole blocks were read from the queue, each into memory of
its own, a minute of AAC met 10,000 page faults in a fresh process, and this took as long as the decoder. Now it takes
about half of that, and hardly meets any.
"""

from __future__ import annotations

import numpy as np
from av.audio.fifo import AudioFifo
from av.audio.frame import AudioFrame
from av.audio.plane import AudioPlane

# Of all channels together, read from the queue at once: 64 kB of float. One frame at a time, two NumPy calls a channel
# take longer than the queue does.
PIECE_SAMPLES = 16_384

# FFmpeg's sample formats: NumPy type, zero, full scale. A trailing "p" means one plane a channel.
SAMPLE_FORMATS: dict[str, tuple[np.dtype, float, float]] = {
    "u8": (np.dtype("u1"), 128.0, 2.0**7),
    "s16": (np.dtype("i2"), 0.0, 2.0**15),
    "s32": (np.dtype("i4"), 0.0, 2.0**31),
    "s64": (np.dtype("i8"), 0.0, 2.0**63),
    "flt": (np.dtype("f4"), 0.0, 1.0),
    "dbl": (np.dtype("f8"), 0.0, 1.0),
}


class BlockBuffer:
    """One block in the making. `n_samples` is how long it is so far."""

    def __init__(self, sample_format: str, n_channels: int, block_samples: int) -> None:
        """`sample_format`: FFmpeg's name. `block_samples`: how long blocks will be, about."""
        self._format, self._n_channels = sample_format, n_channels
        self._queue = AudioFifo()
        self._queued = 0
        self._piece_samples = max(1, PIECE_SAMPLES // n_channels)
        self._room = self._new_room(block_samples + self._piece_samples)
        self._is_lent = False
        self.n_samples = 0

    def push(self, frame: AudioFrame, n_samples: int) -> None:
        """Append a frame, of the shape that was said. Takes its time stamp away."""
        frame.pts = None  # or the queue would insist on its own reckoning of time
        self._queue.write(frame)
        self._queued += n_samples
        self.n_samples += n_samples
        if self._queued >= self._piece_samples:
            self._empty_queue()

    def take(self) -> np.ndarray:
        """The block, `(n_channels, n_samples)` float32, full scale at 1, in memory that is lent until `reclaim`. A new
        block begins."""
        self._empty_queue()
        block = self._room[:, : self.n_samples]
        self._is_lent = True
        self.n_samples = 0
        return block

    def reclaim(self) -> None:
        """Nobody looks at the blocks that were taken any more."""
        self._is_lent = False

    def _empty_queue(self) -> None:
        if not self._queued:
            return
        frame = self._queue.read()
        assert frame is not None
        begin = self.n_samples - self._queued
        self._queued = 0
        if self._is_lent:
            self._room, self._is_lent = self._new_room(self._room.shape[1]), False
        if self.n_samples > self._room.shape[1]:
            wider = self._new_room(2 * self.n_samples)
            wider[:, :begin] = self._room[:, :begin]
            self._room = wider
        write_floats(frame, self._format, self._room[:, begin : self.n_samples])

    def _new_room(self, n_samples: int) -> np.ndarray:
        """`(n_channels, n_samples)`, in memory as the format has it: sorting channels costs more than it saves."""
        if self._format.endswith("p"):
            return np.empty((self._n_channels, n_samples), np.float32)
        return np.empty((n_samples, self._n_channels), np.float32).T


def write_floats(frame: AudioFrame, sample_format: str, samples: np.ndarray) -> None:
    """A frame's samples as floats, full scale at 1, into `samples`, `(n_channels, n_samples)`.

    Reads planes by number: `AudioFrame.to_ndarray()` of PyAV 18.1 looks for a null pointer after the last plane,
    and finds none when there are eight or more (it crashes on 7.1 AAC).
    """
    dtype, zero, full_scale = SAMPLE_FORMATS[sample_format.removesuffix("p")]
    # `(n_planes, n_values)`: each channel, or all of them in turn
    planes = samples if sample_format.endswith("p") else samples.T.reshape(1, -1)
    for number, values in enumerate(planes):
        values[:] = np.frombuffer(AudioPlane(frame, number), dtype, len(values))  # type: ignore[call-overload]
        if zero:
            values -= np.float32(zero)
        if full_scale != 1.0:
            values *= np.float32(1 / full_scale)
