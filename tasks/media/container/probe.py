"""Probe a medium's headers: container, tracks, languages, timecode. Declared values are not verified."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tasks.contract import Frozen, Reason
from tasks.media.container.channel_labels import order_in_title
from tasks.media.container.formats import RAW_FORMATS
from tasks.media.container.source import Media, MediaSource, OpenMedia, open_container, open_source
from tasks.media.findings import MediaRejected
from tasks.media.languages import language_tag
from tasks.media.limits import MediaLimits, Progress

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer

MAX_TEXT_CHARACTERS = 200  # of a title; tags can be megabytes
TITLES = ("title", "name", "track_name", "handler_name")  # Matroska's, MOV's, MXF's, MP4's
MICROSECONDS = 1_000_000


class TrackInfo(Frozen):
    """One audio track as declared by its header."""

    index: int  # among all streams of the container
    codec: str
    decodable: bool
    sample_rate_hz: int
    sample_format: str
    n_channels: int
    layout: str
    channel_names: tuple[str, ...]  # "FL", "FC"; empty if the header names none
    language: str | None  # as tagged, lower case; None if the tag names no language
    title: str
    dispositions: tuple[str, ...]
    starts_at_s: float | None
    header_duration_s: float | None


class MediaProbe(Frozen):
    """A medium as declared by its headers."""

    container: str
    n_bytes: int
    tracks: tuple[TrackInfo, ...]
    n_video_tracks: int
    title: str
    starts_at_s: float  # the earliest track's first timestamp: time 0 of the transcript
    header_duration_s: float | None
    duration_is_estimate: bool  # from the bit rate, so unreliable
    start_timecode: str | None  # "10:00:00:00", of the first frame
    time_reference_s: float | None = None  # Broadcast Wave: seconds from midnight to the first sample
    frame_rate: float | None  # of the video, to count timecode with

    def header_duration_of(self, track: int) -> float | None:
        """Return the duration that the header declares for an audio track; None if there is no reliable one.

        The container's duration is that of its longest track, so it is used only if there is a single track.
        """
        if self.duration_is_estimate:
            return None
        is_only_track = len(self.tracks) + self.n_video_tracks == 1
        return self.tracks[track].header_duration_s or (self.header_duration_s if is_only_track else None)


def probe_media(media: Media, limits: MediaLimits | None = None) -> MediaProbe:
    """Read the headers of `media`. Raises `MediaRejected` if it is not media or has no audio track."""
    limits = limits or MediaLimits()
    with (
        open_source(media, limits, Progress(limits)) as source,
        open_container(source) as opened,
    ):
        return describe(opened, source)


def describe(opened: OpenMedia, source: MediaSource) -> MediaProbe:
    """Describe an opened container. Raises `MediaRejected(no_audio_track)`."""
    container = opened.container
    is_raw = _short_name(container) in RAW_FORMATS
    tracks = tuple(
        _describe_track(stream, opened.channel_names[stream.index], is_raw) for stream in container.streams.audio
    )
    if not tracks:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "no tracks"
        raise MediaRejected(Reason.NO_AUDIO_TRACK, f"a {_short_name(container)} file with {kinds}, without audio")
    rate = next((stream.average_rate for stream in container.streams.video if stream.average_rate), None)
    start_timecode = _start_timecode(container)
    return MediaProbe(
        container=_short_name(container),
        n_bytes=source.n_bytes,
        tracks=tracks,
        n_video_tracks=len(container.streams.video),
        title=_text(container.metadata, "title"),
        starts_at_s=(container.start_time or 0) / MICROSECONDS,
        header_duration_s=_seconds(container.duration, 1 / MICROSECONDS),
        # An MP3 with one of these marks in its first frame stores its number of frames.
        duration_is_estimate=is_raw and not any(mark in source.head for mark in (b"Xing", b"Info", b"VBRI")),
        start_timecode=start_timecode,
        time_reference_s=None if start_timecode else _time_reference_s(container),
        frame_rate=float(rate) if rate else None,
    )


def _describe_track(stream: AudioStream, channel_names: tuple[str, ...], is_raw: bool) -> TrackInfo:
    context = stream.codec_context  # None if this FFmpeg has no decoder for it
    layout = context.layout if context else None
    tick_s = float(stream.time_base) if stream.time_base else 0.0
    title = next((text for name in TITLES if (text := _text(stream.metadata, name))), "")
    return TrackInfo(
        index=stream.index,
        codec=context.name if context else "unknown",
        decodable=context is not None,
        sample_rate_hz=context.sample_rate if context else 0,
        sample_format=context.format.name if context and context.format else "",
        n_channels=layout.nb_channels if layout else 0,
        layout=layout.name if layout else "",
        channel_names=channel_names or order_in_title(title, layout.nb_channels if layout else 0),
        language=language_tag(_text(stream.metadata, "language")),
        title=title,
        dispositions=tuple(sorted(str(flag.name) for flag in type(stream.disposition) if flag in stream.disposition)),
        starts_at_s=_seconds(stream.start_time, tick_s),
        header_duration_s=None if is_raw else _seconds(stream.duration, tick_s),
    )


def _start_timecode(container: InputContainer) -> str | None:
    """Return the start timecode, which MXF has in the container and MOV in a tmcd track (FFmpeg: the video's tags)."""
    for tags in (container.metadata, *(stream.metadata for stream in container.streams)):
        if timecode := _text(tags, "timecode"):
            return timecode
    return None


def _time_reference_s(container: InputContainer) -> float | None:
    """Return Broadcast Wave's sample count since midnight (EBU Tech 3285) in seconds; 0 means no clock, so None."""
    samples, context = _text(container.metadata, "time_reference"), container.streams.audio[0].codec_context
    rate_hz = context.sample_rate if context else 0  # no context if this FFmpeg has no decoder
    return int(samples) / rate_hz if samples.isdecimal() and int(samples) and rate_hz else None


def _short_name(container: InputContainer) -> str:
    return container.format.name.split(",")[0]


def _text(tags: dict[str, Any], name: str) -> str:
    return str(tags.get(name, "")).replace("\x00", "").strip()[:MAX_TEXT_CHARACTERS]


def _seconds(ticks: int | None, tick_s: float) -> float | None:
    return ticks * tick_s if ticks is not None and tick_s else None
