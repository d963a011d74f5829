"""Decode single channels of a medium in one pass, each as a stream of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from tasks.audio import SAMPLE_RATE_HZ
from tasks.contract import Reason
from tasks.media.container.demux import PacketReader
from tasks.media.container.formats import RAW_FORMATS
from tasks.media.container.probe import describe
from tasks.media.container.source import Media, MediaSource, OpenMedia, open_container, open_source
from tasks.media.container.tracks import Lane
from tasks.media.decoding.mono import Resampler
from tasks.media.decoding.track_decoder import NativeBlock, TrackDecoder
from tasks.media.findings import MediaRejected
from tasks.media.limits import MediaLimits, Progress

LaneBlock = tuple[int, np.ndarray]
"""Index of the lane, and its samples, `(n_samples,)` float32."""


@contextmanager
def open_lanes(
    media: Media,
    lanes: tuple[Lane, ...],
    limits: MediaLimits,
    sample_rate_hz: int = SAMPLE_RATE_HZ,
    progress: Progress | None = None,
) -> Iterator[Iterator[LaneBlock]]:
    """Decode the lanes in one pass. A lane whose track cannot be decoded yields no blocks.

    Raises `MediaRejected`, on opening and while iterating.
    """
    progress = progress or Progress(limits)
    with open_source(media, limits, progress) as source, open_container(source) as opened:
        yield _decode_lanes(source, opened, lanes, limits, progress, sample_rate_hz)


def _decode_lanes(
    source: MediaSource,
    opened: OpenMedia,
    lanes: tuple[Lane, ...],
    limits: MediaLimits,
    progress: Progress,
    sample_rate_hz: int,
) -> Iterator[LaneBlock]:
    probe = describe(opened, source)
    audio = opened.container.streams.audio
    if any(lane.track >= len(audio) for lane in lanes):
        raise MediaRejected(Reason.NO_AUDIO_TRACK, f"has only {len(audio)} audio tracks")
    streams = [audio[number] for number in dict.fromkeys(lane.track for lane in lanes)]
    tracks: dict[int, _LaneTrack] = {}
    for stream in streams:
        try:
            decoder = TrackDecoder(
                stream,
                origin_s=probe.starts_at_s,
                is_raw=probe.container in RAW_FORMATS,
                max_gap_s=limits.max_gap_s,
                max_lead_s=limits.max_duration_s,
            )
        except MediaRejected:
            continue
        channels = {index: lane.channel for index, lane in enumerate(lanes) if audio[lane.track] is stream}
        tracks[stream.index] = _LaneTrack(decoder, channels, sample_rate_hz)
    for packet in PacketReader(opened.container, [s for s in streams if s.index in tracks], source, progress):
        track = tracks[packet.stream_index]
        yield from _noted(track.split(track.decoder.feed(packet)), progress, sample_rate_hz)
        progress.check()
    for track in tracks.values():
        yield from _noted(track.split(track.decoder.finish()), progress, sample_rate_hz)


def _noted(blocks: Iterator[LaneBlock], progress: Progress, sample_rate_hz: int) -> Iterator[LaneBlock]:
    """Yield the blocks, note them as progress, and leave out the caller's time."""
    for lane, block in blocks:
        progress.note_audio(len(block) / sample_rate_hz)
        progress.pause()
        yield lane, block
        progress.resume()


class _LaneTrack:
    """Splits the blocks of one track into its lanes."""

    def __init__(self, decoder: TrackDecoder, channels: dict[int, int], sample_rate_hz: int) -> None:
        """`channels`: channel numbers by index of lane."""
        self.decoder, self._channels, self._rate_hz = decoder, channels, sample_rate_hz
        self._resamplers: dict[int, Resampler] = {}
        self._source_rate_hz = 0

    def split(self, blocks: list[NativeBlock]) -> Iterator[LaneBlock]:
        """Yield the resampled lanes of each block. NaN and infinity become 0."""
        for samples, rate_hz in blocks:  # (n_channels, n_samples)
            if rate_hz != self._source_rate_hz:
                self._source_rate_hz = rate_hz
                self._resamplers = {index: Resampler(rate_hz, self._rate_hz) for index in self._channels}
            for index, channel in self._channels.items():
                if channel < len(samples):
                    finite = np.nan_to_num(samples[channel], nan=0.0, posinf=0.0, neginf=0.0)
                    yield index, self._resamplers[index].push(np.clip(finite, -1.0, 1.0))
