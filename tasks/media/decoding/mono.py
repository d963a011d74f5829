"""Packets to mono at the target rate: one track, or several mono tracks mixed into one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from tasks.media.decoding.downmix import Downmixer
from tasks.media.decoding.track_decoder import BLOCK_S, NativeBlock, TrackDecoder
from tasks.media.findings import ChannelLevel

if TYPE_CHECKING:
    from av.packet import Packet

MAX_LAG_S = 10.0  # a track further behind the others is filled with silence


class MonoTrack:
    """One track: decoded, downmixed and resampled. Follows changes of rate and channels inside the track."""

    def __init__(
        self, decoder: TrackDecoder, *, names: tuple[str, ...], channels: tuple[int, ...], sample_rate_hz: int
    ) -> None:
        self.damage = decoder.damage
        self._decoder, self._names, self._channels = decoder, names, channels
        self._rate_hz = sample_rate_hz
        self._source_rate_hz = 0
        self._resampler: Resampler | None = None
        self._mixer = Downmixer(1, sample_rate_hz)
        self._mixers = [self._mixer]

    def feed(self, packet: Packet) -> Iterable[np.ndarray]:
        """Decode a packet and return blocks of `(n_samples,)` float32."""
        blocks = self._decoder.feed(packet)
        return self._convert(blocks) if blocks else ()

    def finish(self) -> Iterable[np.ndarray]:
        """Yield what remains after the last packet."""
        yield from self._convert(self._decoder.finish())
        yield from self._drain()

    @property
    def cancelling_s(self) -> float:
        return sum(mixer.cancelling_s for mixer in self._mixers)

    @property
    def unlike_s(self) -> float:
        return sum(mixer.unlike_s for mixer in self._mixers)

    @property
    def levels(self) -> tuple[ChannelLevel, ...]:
        """Channel levels of the layout that lasted longest."""
        return max(self._mixers, key=lambda mixer: mixer.n_samples / mixer.sample_rate_hz).levels()

    def _convert(self, blocks: list[NativeBlock]) -> Iterator[np.ndarray]:
        for samples, rate_hz in blocks:
            if rate_hz != self._source_rate_hz:
                yield from self._drain()
                self._source_rate_hz = rate_hz
                self._resampler = Resampler(rate_hz, self._rate_hz)
            if (len(samples), rate_hz) != (self._mixer.n_channels, self._mixer.sample_rate_hz):
                self._mixer = Downmixer(len(samples), rate_hz, names=self._names, channels=self._channels)
                self._mixers = [max(self._mixers, key=lambda mixer: mixer.n_samples), self._mixer]
            assert self._resampler is not None
            mono = self._mixer.mix(samples)  # (n_channels, n_samples) to (n_samples,)
            resampled = self._resampler.push(mono)  # (n_samples at the target rate,)
            if len(resampled):
                yield resampled

    def _drain(self) -> Iterator[np.ndarray]:
        if self._resampler is not None:
            rest = self._resampler.finish()
            if len(rest):
                yield rest


class Resampler:
    """Streaming resampler: soxr at high quality (20 bit)."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        import soxr

        self._stream = (
            None if from_hz == to_hz else soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32", quality="HQ")
        )

    def push(self, block: np.ndarray) -> np.ndarray:
        """Resample a block, `(n_samples,)`, into a new array."""
        if self._stream is None:
            return block.copy()
        return np.asarray(self._stream.resample_chunk(np.ascontiguousarray(block)))

    def finish(self) -> np.ndarray:
        if self._stream is None:
            return np.zeros(0, np.float32)
        return np.asarray(self._stream.resample_chunk(np.zeros(0, np.float32), last=True))


class TrackMix:
    """Mixes several mono tracks as channels on one timeline."""

    def __init__(self, tracks: dict[int, MonoTrack], sample_rate_hz: int) -> None:
        """`tracks` by stream index."""
        self._tracks = tracks
        self._rate_hz = sample_rate_hz
        self._mixer = Downmixer(len(tracks), sample_rate_hz)
        self._waiting = {index: SampleQueue() for index in tracks}

    def feed(self, packet: Packet) -> Iterator[np.ndarray]:
        """Decode a packet and yield blocks of `(n_samples,)` float32."""
        queue = self._waiting[packet.stream_index]
        for block in self._tracks[packet.stream_index].feed(packet):
            queue.push(block)
            # After each block: one packet may yield hours of silence before a late track.
            lengths = [waiting.n_samples for waiting in self._waiting.values()]
            has_lagged = max(lengths) - min(lengths) > MAX_LAG_S * self._rate_hz
            yield from self._mix(max(lengths) if has_lagged else min(lengths), keep_s=BLOCK_S)

    def finish(self) -> Iterator[np.ndarray]:
        """Yield what remains after the last packet."""
        for index, track in self._tracks.items():
            for block in track.finish():
                self._waiting[index].push(block)
        yield from self._mix(self.max_waiting_samples, keep_s=0.0)

    @property
    def max_waiting_samples(self) -> int:
        """Samples that wait in the longest queue."""
        return max(queue.n_samples for queue in self._waiting.values())

    @property
    def cancelling_s(self) -> float:
        return self._mixer.cancelling_s

    @property
    def unlike_s(self) -> float:
        return self._mixer.unlike_s

    @property
    def levels(self) -> tuple[ChannelLevel, ...]:
        """The level of each track."""
        return self._mixer.levels()

    def _mix(self, n_samples: int, keep_s: float) -> Iterator[np.ndarray]:
        block_samples = round(BLOCK_S * self._rate_hz)
        while n_samples > keep_s * self._rate_hz:
            n_block = min(n_samples, block_samples)
            tracks = np.stack([queue.take(n_block) for queue in self._waiting.values()])  # (n_tracks, n_block)
            yield self._mixer.mix(tracks).copy()  # (n_block,)
            n_samples -= n_block


class SampleQueue:
    """Samples of one track that wait for those of another. Samples that arrive too late are dropped, not shifted."""

    def __init__(self) -> None:
        self._blocks: deque[np.ndarray] = deque()
        self._n_late = 0  # samples taken as silence before they arrived
        self.n_samples = 0

    def push(self, block: np.ndarray) -> None:
        n_dropped = min(self._n_late, len(block))
        self._n_late -= n_dropped
        self._blocks.append(block[n_dropped:])
        self.n_samples += len(block) - n_dropped

    def take(self, n_samples: int) -> np.ndarray:
        """Remove the first `n_samples`, `(n_samples,)`; padded with silence if fewer are waiting."""
        taken = np.zeros(n_samples, np.float32)
        at = 0
        while self._blocks and at < n_samples:
            block = self._blocks.popleft()
            n_used = min(len(block), n_samples - at)
            taken[at : at + n_used] = block[:n_used]
            if n_used < len(block):
                self._blocks.appendleft(block[n_used:])
            at += n_used
        self.n_samples -= at
        self._n_late += n_samples - at
        return taken
