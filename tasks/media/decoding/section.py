"""One section of a medium: an opened container, its chosen tracks and their decoders.

Almost every medium is a single section. The links of a chained Ogg and the parts of a transport stream whose audio
moves are consecutive sections.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tasks.media.container.demux import PacketReader
from tasks.media.container.formats import RAW_FORMATS
from tasks.media.container.probe import describe
from tasks.media.container.source import MediaSource, OpenMedia
from tasks.media.container.tracks import TrackPolicy, choose_tracks
from tasks.media.decoding.mono import MonoTrack, TrackMix
from tasks.media.decoding.track_decoder import DamageCount, TrackDecoder
from tasks.media.limits import MediaLimits, Progress


class Section:
    """Decodes one section to mono blocks."""

    def __init__(
        self,
        source: MediaSource,
        opened: OpenMedia,
        policy: TrackPolicy,
        limits: MediaLimits,
        progress: Progress,
        sample_rate_hz: int,
        *,
        origin_s: float | None = None,
        is_continuation: bool = False,
        except_ids: frozenset[int] = frozenset(),
    ) -> None:
        """`origin_s`: the section's start on the container's clock; None: its first timestamp. `is_continuation`:
        another section came before, so a late start of the track is a gap. `except_ids`: stream ids (PIDs) of tracks
        that have ended.

        Raises `MediaRejected` if the section has no usable audio.
        """
        probe = describe(opened, source)
        ended = {stream.index for stream in opened.container.streams.audio if stream.id in except_ids}
        self.probe = probe.model_copy(
            update={
                "tracks": tuple(
                    track.model_copy(update={"decodable": False}) if track.index in ended else track
                    for track in probe.tracks
                )
            }
        )
        self.choice = choose_tracks(self.probe, policy)
        streams = [s for s in opened.container.streams.audio if s.index in self.choice.stream_indexes]
        self.track_ids = frozenset(stream.id for stream in streams)
        self._ids = [stream.id for stream in opened.container.streams.audio]
        self._packets = PacketReader(opened.container, streams, source, progress)
        channel = self.choice.channel
        names = {track.index: track.channel_names for track in self.probe.tracks}
        self.tracks = {
            stream.index: MonoTrack(
                TrackDecoder(
                    stream,
                    origin_s=self.probe.starts_at_s if origin_s is None else origin_s,
                    is_raw=self.probe.container in RAW_FORMATS,
                    max_gap_s=limits.max_gap_s,
                    max_lead_s=limits.max_gap_s if is_continuation else limits.max_duration_s,
                    is_continuation=is_continuation,
                ),
                names=names[stream.index],
                channels=self.choice.channels or (() if channel is None else (channel,)),
                sample_rate_hz=sample_rate_hz,
            )
            for stream in streams
        }
        self.mono = TrackMix(self.tracks, sample_rate_hz) if len(streams) > 1 else self.tracks[streams[0].index]

    def ids_before(self, time_s: float) -> frozenset[int]:
        """Return the stream ids of the tracks that start before a time on the container's clock."""
        starts = zip(self._ids, self.probe.tracks, strict=True)
        return frozenset(id_ for id_, track in starts if track.starts_at_s is not None and track.starts_at_s < time_s)

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield blocks of `(n_samples,)` float32."""
        for packet in self._packets:
            yield from self.mono.feed(packet)
        yield from self.mono.finish()

    @property
    def read_errors(self) -> int:
        return self._packets.read_errors

    @property
    def last_packet_at(self) -> int | None:
        """Byte position of the last decoded packet in the source; None if the container does not give it."""
        return self._packets.last_packet_at

    @property
    def damage(self) -> list[DamageCount]:
        return [track.damage for track in self.tracks.values()]


def merge_damage(sections: Sequence[tuple[float, list[DamageCount]]]) -> list[DamageCount]:
    """Merge the damage of consecutive sections, given with their starts in seconds, into one count for each track.

    A section with fewer tracks than the first adds to the first ones only.
    """
    (_, first), *others = sections
    if not others:
        return first
    total = [DamageCount(starts_at_s=track.starts_at_s) for track in first]
    for start_s, tracks in sections:
        for sum_, track in zip(total, tracks, strict=False):
            sum_.packets += track.packets
            sum_.packets_failed += track.packets_failed
            sum_.gaps += track.gaps
            sum_.lost_s += track.lost_s
            for begin_s, end_s in track.lost:
                sum_.note_loss(start_s + begin_s, end_s - begin_s)
            sum_.ends_in_failure = track.ends_in_failure
            sum_.clock_resets += track.clock_resets
            sum_.first_error = sum_.first_error or track.first_error
            sum_.rates_hz |= track.rates_hz
            sum_.n_channels |= track.n_channels
    return total
