"""WebVTT segments and their playlist for HLS players (RFC 8216, sections 3.5 and 4.3). Pure functions."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from tasks.contract.events import Milliseconds
from tasks.streaming.runtime.messages import Frozen
from tasks.transcripts.cues.cutting import Cue
from tasks.transcripts.formats.clock_time import hours_to_milliseconds

SEGMENT_MS = 6_000
PLAYLIST = "captions.m3u8"


class VttCue(Frozen):
    """A cue on the session's timeline, its text escaped for WebVTT."""

    start_ms: Milliseconds
    end_ms: Milliseconds
    text: str

    @classmethod
    def of(cls, cue: Cue, earliest_ms: int) -> VttCue:
        """Convert a cue, delayed to `earliest_ms`, the end of the previous one."""
        start_ms = max(cue.start_ms, earliest_ms)
        text = "\n".join(escape(line, quote=False) for line in cue.dashed_lines())
        return cls(start_ms=start_ms, end_ms=max(cue.end_ms, start_ms + 1), text=text)


def segment_name(number: int) -> str:
    return f"captions-{number:06d}.vtt"


def segment(number: int, cues: Iterable[VttCue]) -> bytes:
    """Return segment `number`, `SEGMENT_MS` long. A cue that crosses a segment's end is also in the next segment.

    Times count from the session's first sample, which is 0 on the transport stream's clock too.
    """
    start_ms, end_ms = number * SEGMENT_MS, (number + 1) * SEGMENT_MS
    parts = ["WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\n"]
    parts += [
        f"{hours_to_milliseconds(cue.start_ms)} --> {hours_to_milliseconds(cue.end_ms)}\n{cue.text}\n"
        for cue in cues
        if cue.start_ms < end_ms and cue.end_ms > start_ms
    ]
    return "\n".join(parts).encode()


def playlist(n_segments: int, total_ms: int | None = None) -> bytes:
    """Return the playlist of all segments so far. `total_ms`, the session's duration, ends it."""
    lines = [
        "#EXTM3U",
        "#EXT-X-VERSION:3",
        f"#EXT-X-TARGETDURATION:{SEGMENT_MS // 1000}",
        "#EXT-X-MEDIA-SEQUENCE:0",
        "#EXT-X-PLAYLIST-TYPE:EVENT",
    ]
    for number in range(n_segments):
        is_last = total_ms is not None and number == n_segments - 1
        length_ms = total_ms - number * SEGMENT_MS if is_last and total_ms is not None else SEGMENT_MS
        lines += [f"#EXTINF:{length_ms / 1000:.3f},", segment_name(number)]
    if total_ms is not None:
        lines.append("#EXT-X-ENDLIST")
    return "\n".join([*lines, ""]).encode()


def count_segments(data: bytes) -> int:
    """Count the segments in a playlist."""
    return data.count(b"#EXTINF:")
