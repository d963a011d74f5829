"""Decode the packets of one track to blocks of float samples on the file's own timeline.

FFmpeg drops what it cannot decode and continues. Here silence of the same length replaces it, so that every later
sample keeps its time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from av.error import EOFError as EndOfStream
from av.error import FFmpegError

from tasks.contract import Reason
from tasks.media.container.formats import MAX_CHANNELS
from tasks.media.container.tracks import MAX_SAMPLE_RATE_HZ, MIN_SAMPLE_RATE_HZ
from tasks.media.decoding.block_buffer import BlockBuffer
from tasks.media.findings import MediaRejected

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.packet import Packet

# Frames are collected into blocks of this length. A second of MP3 is 38 frames, each decoded in 30 µs: at 1 µs a NumPy
# call, later stages that ran once per frame would cost a noticeable share of decoding.
BLOCK_S = 2.0

# Timestamps may deviate this far from the sample count: Matroska's are whole milliseconds, live muxers' are worse.
# Beyond that, audio is missing. Right after a failed packet, a much smaller deviation is enough.
GAP_S = 0.040
GAP_AFTER_FAILURE_S = 0.005
CLOCK_RESET_S = 0.5  # a jump back by more than this is a clock reset
MAX_LOST_SPANS = 10_000  # spans of lost audio listed individually

# Decoders that can verify frame checksums, and so detect damage. MP3 checksums are not verified, because some
# encoders write wrong ones.
CHECKSUMMED = frozenset({"flac", "ac3", "ac3_fixed", "eac3", "tta", "wavpack"})


class NativeBlock(NamedTuple):
    """A block of one track at its own rate: `samples` is `(n_channels, n_samples)`, float32.

    Valid until the next packet: the decoder reuses the memory.
    """

    samples: np.ndarray
    sample_rate_hz: int


@dataclass
class DamageCount:
    """Damage observed while decoding a track.

    A gap is missing audio replaced by silence. `lost_s` is the length of all gaps, plus the packets that failed before
    the first or after the last good frame.
    """

    packets: int = 0
    packets_failed: int = 0
    gaps: int = 0
    lost_s: float = 0.0
    lost: list[tuple[float, float]] = field(default_factory=list)  # start and end of each span replaced by silence
    ends_in_failure: bool = False
    clock_resets: int = 0
    starts_at_s: float = 0.0
    first_error: str = ""
    rates_hz: dict[int, None] = field(default_factory=dict)  # an ordered set
    n_channels: dict[int, None] = field(default_factory=dict)  # an ordered set of channel counts

    def note_loss(self, at_s: float, length_s: float) -> None:
        """Record a lost span. Beyond `MAX_LOST_SPANS`, the last span is extended to include it."""
        if len(self.lost) < MAX_LOST_SPANS:
            self.lost.append((at_s, at_s + length_s))
        else:
            self.lost[-1] = (self.lost[-1][0], at_s + length_s)


class TrackDecoder:
    """Decodes one track, packet by packet."""

    def __init__(
        self,
        stream: AudioStream,
        *,
        origin_s: float,
        is_raw: bool,
        max_gap_s: float,
        max_lead_s: float,
        is_continuation: bool = False,
    ) -> None:
        """`origin_s`: the medium's time 0 on the container's clock. `is_raw`: timestamps are counted, not stored, so
        they do not reveal gaps. `max_lead_s`: how long after the medium the track may start. `is_continuation`: the
        track continues another one, so a late start is a gap.

        Raises `MediaRejected(unsupported_codec)` if the decoder rejects the stream.
        """
        self.damage = DamageCount()
        self._is_raw, self._max_gap_s, self._max_lead_s, self._is_continuation = (
            is_raw,
            max_gap_s,
            max_lead_s,
            is_continuation,
        )
        self._context = stream.codec_context
        self._tick_s = float(stream.time_base) if stream.time_base else 0.0
        self._origin_s = origin_s
        self._context.thread_count = 1  # audio decoders do not use more, and files are decoded in parallel
        if self._context.name in CHECKSUMMED:
            self._context.options = {"err_detect": "crccheck+explode"}
        try:
            self._context.open(strict=False)
        except (FFmpegError, ValueError) as error:
            raise MediaRejected(
                Reason.UNSUPPORTED_CODEC,
                f"the {self._context.name} decoder rejects it: {getattr(error, 'strerror', None) or error}",
            ) from error

        self._buffer = BlockBuffer("fltp", 1, 0)  # for frames of the current format
        self._frame_format: tuple[str, int, int] | None = None  # sample format, rate, channels
        self._rate_hz = self._block_samples = 0
        # The clock, in ticks of the time base: the next frame is expected at `_anchor_pts + _ticks`, and a deviation
        # between `_earliest` and `_latest` is tolerated. Both are 0 before the first frame, so that it always reaches
        # `_keep_time`.
        self._has_begun = False
        self._anchor_pts, self._ticks, self._ticks_per_sample = 0, 0.0, 0.0
        self._earliest = self._latest = 0.0
        self._failed_s = 0.0  # duration of the packets that failed since the last good frame
        self._good_bytes, self._good_s, self._silence_s = 0, 0.0, 0.0

    def feed(self, packet: Packet) -> list[NativeBlock]:
        """Decode a packet and return the blocks that it completes, usually none."""
        self.damage.packets += 1
        self._buffer.reclaim()
        return self._decode(packet, [])

    def finish(self) -> list[NativeBlock]:
        """Flush the decoder and return the remaining blocks."""
        self._buffer.reclaim()
        blocks = self._decode(None, [])
        self._complete_block(blocks)
        # Nothing follows the packets that failed last, so no silence replaces them, but they count as lost.
        self.damage.ends_in_failure = self._failed_s > 0
        self.damage.lost_s += self._failed_s
        return blocks

    def _decode(self, packet: Packet | None, blocks: list[NativeBlock]) -> list[NativeBlock]:
        """Decode a packet (None: flush), append the blocks that it completes to `blocks`, and return `blocks`.

        This is the hot loop: it adds about 2 µs a frame to the decoder's 20 to 50 µs.
        """
        try:
            frames = self._context.decode(packet)
        except EndOfStream:
            return blocks
        except MemoryError as error:
            raise MediaRejected(Reason.MEMORY_LIMIT, "decoding it exceeds the memory limit") from error
        except (FFmpegError, ValueError) as error:
            if packet:
                self._on_failure(packet, error)
            return blocks
        for frame in frames:
            n_samples, sample_format, pts = frame.samples, frame.format, frame.pts
            if not n_samples or sample_format is None:
                continue
            frame_format = (sample_format.name, frame.sample_rate, frame.layout.nb_channels)
            if frame_format != self._frame_format and not self._change_format(frame_format, blocks):
                continue
            if (
                pts is None
                or self._failed_s
                or not self._earliest < pts - self._anchor_pts - self._ticks < self._latest
            ):
                self._keep_time(pts, blocks)
            self._ticks += n_samples * self._ticks_per_sample
            self._buffer.push(frame, n_samples)
            if self._buffer.n_samples >= self._block_samples:
                self._complete_block(blocks)
        if packet and frames:
            self._good_bytes += packet.size
        return blocks

    def _on_failure(self, packet: Packet, error: Exception) -> None:
        self._count_failure(str(getattr(error, "strerror", None) or error))
        length_s = (packet.duration or 0) * self._tick_s
        if self._is_raw and self._good_bytes:
            # If a frame's header is damaged, FFmpeg puts everything up to the next intact header into one packet.
            # Estimate its duration from its size and the average bit rate so far.
            good_s = self._good_s + self._buffer.n_samples / max(1, self._rate_hz)
            length_s = max(length_s, packet.size * good_s / self._good_bytes)
        self._failed_s += min(max(length_s, 0.0), self._max_gap_s)

    def _count_failure(self, error: str) -> None:
        self.damage.packets_failed += 1
        self.damage.first_error = self.damage.first_error or error

    def _change_format(self, frame_format: tuple[str, int, int], blocks: list[NativeBlock]) -> bool:
        """Switch to frames of another format. Return False if they are unsupported."""
        sample_format, rate_hz, n_channels = frame_format
        if not (0 < n_channels <= MAX_CHANNELS and MIN_SAMPLE_RATE_HZ <= rate_hz <= MAX_SAMPLE_RATE_HZ):
            self._count_failure(f"a frame of {n_channels} channels at {rate_hz} Hz")
            return False
        self._complete_block(blocks)
        self._frame_format = frame_format
        self._rate_hz = rate_hz
        self._block_samples = round(BLOCK_S * rate_hz)
        self._buffer = BlockBuffer(sample_format, n_channels, self._block_samples)
        self._ticks_per_sample = 1 / (rate_hz * self._tick_s) if self._tick_s else 0.0
        self.damage.rates_hz[rate_hz] = None
        self.damage.n_channels[n_channels] = None
        return True

    def _keep_time(self, pts: int | None, blocks: list[NativeBlock]) -> None:
        """Insert silence for audio missing before a frame.

        Called for the first frame, after failed packets, and if the timestamp is missing or unexpected.
        """
        if not self._has_begun:
            self._begin(pts, blocks)
            return
        missing_s = self._missing_s(pts)
        if missing_s > 0:
            self._complete_block(blocks)
            self._note_gap(missing_s)
            self._insert_silence(missing_s, blocks)
        self._failed_s = 0.0

    def _note_gap(self, length_s: float) -> None:
        self.damage.gaps += 1
        self.damage.lost_s += length_s
        self.damage.note_loss(self._good_s + self._silence_s, length_s)

    def _begin(self, pts: int | None, blocks: list[NativeBlock]) -> None:
        """Handle the first frame. A track that starts after the programme is preceded by silence."""
        self._has_begun = True
        # Packets that failed before the first frame get no silence of their own: its timestamp includes their time.
        self.damage.lost_s += self._failed_s
        self._failed_s = 0.0
        lead_s = pts * self._tick_s - self._origin_s if pts is not None else 0.0
        if GAP_S < lead_s <= self._max_lead_s:
            if self._is_continuation:
                self._note_gap(lead_s)
            else:
                self.damage.starts_at_s = lead_s
            self._insert_silence(lead_s, blocks)
        elif lead_s > self._max_lead_s or (self._is_continuation and lead_s < -CLOCK_RESET_S):
            self.damage.clock_resets += 1
        self._anchor(pts)

    def _anchor(self, pts: int | None) -> None:
        """Count time from `pts` onwards."""
        self._ticks = 0.0
        if pts is not None and self._tick_s and not self._is_raw:
            self._anchor_pts = pts
            self._earliest, self._latest = -CLOCK_RESET_S / self._tick_s, GAP_S / self._tick_s
        else:
            self._earliest, self._latest = -math.inf, math.inf

    def _missing_s(self, pts: int | None) -> float:
        """Return the seconds of audio missing before a frame.

        If its timestamp has jumped too far for a gap, count a clock reset and restart the clock at it.
        """
        if pts is None or self._latest == math.inf:
            return self._failed_s
        gap_s = (pts - self._anchor_pts - self._ticks) * self._tick_s
        if -CLOCK_RESET_S < gap_s <= self._max_gap_s:
            return gap_s if gap_s > (GAP_AFTER_FAILURE_S if self._failed_s else GAP_S) else 0.0
        self.damage.clock_resets += 1
        self._anchor(pts)
        # The caller now inserts `_failed_s` of silence, which brings the clock to `pts`.
        self._ticks = -self._failed_s / self._tick_s
        return self._failed_s

    def _insert_silence(self, length_s: float, blocks: list[NativeBlock]) -> None:
        assert self._frame_format is not None
        left = round(length_s * self._rate_hz)
        self._ticks += left * self._ticks_per_sample
        self._silence_s += left / self._rate_hz
        while left > 0:
            n_samples = min(left, self._block_samples)
            # A broadcast view: hours of silence in many channels take no memory.
            zeros = np.broadcast_to(np.float32(0), (self._frame_format[2], n_samples))  # (n_channels, n_samples)
            blocks.append(NativeBlock(zeros, self._rate_hz))
            left -= n_samples

    def _complete_block(self, blocks: list[NativeBlock]) -> None:
        n_samples = self._buffer.n_samples
        if n_samples:
            blocks.append(NativeBlock(self._buffer.take(), self._rate_hz))
            self._good_s += n_samples / self._rate_hz
