"""Decode a live stream from a pipe, frame by frame, at its own rate: what the feeder sends on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

import av
from av.error import FFmpegError

from tasks.contract import Reason
from tasks.media.container.formats import FORMATS
from tasks.media.decoding.messages import PcmBlock
from tasks.media.findings import MediaRejected
from tasks.media.limits import Progress

READ_BYTES = 1 << 15


class PipeSource:
    """A pipe as FFmpeg sees it: it cannot seek, and a read returns what has arrived."""

    def __init__(self, pipe: IO[bytes], progress: Progress) -> None:
        self._pipe, self._progress = pipe, progress

    def read(self, n_bytes: int) -> bytes:
        data = self._pipe.read(n_bytes)
        if data:
            self._progress.note_new_bytes()
        return data


def live_blocks(media: IO[bytes], progress: Progress) -> Iterator[PcmBlock]:
    """Decode the first audio track in a pipe or a file, mono or stereo, as it comes. Packets that fail are passed over.

    Raises:
        MediaRejected: not_media, no_audio_track, damaged: nothing could be decoded.
    """
    try:
        container = av.open(
            media if media.seekable() else PipeSource(media, progress),
            mode="r",
            metadata_errors="replace",
            buffer_size=READ_BYTES,
            container_options={"protocol_whitelist": "none", "format_whitelist": ",".join(FORMATS)},
        )
    except (FFmpegError, ValueError, LookupError, RuntimeError, ArithmeticError, AssertionError) as error:
        raise MediaRejected(Reason.NOT_MEDIA, f"not a live stream that FFmpeg knows: {error}") from error
    with container:
        if not container.streams.audio:
            raise MediaRejected(Reason.NO_AUDIO_TRACK, "has no audio track")
        stream = container.streams.audio[0]
        resampler: Any = None
        form: tuple[int, int] | None = None
        n_failed = n_decoded = 0
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except FFmpegError:
                n_failed += 1
                continue
            for frame in frames:
                n_channels = min(len(frame.layout.channels), 2)
                if form != (frame.sample_rate, n_channels):  # a stream may change its form between programmes
                    form = frame.sample_rate, n_channels
                    layout = "mono" if n_channels == 1 else "stereo"
                    resampler = av.AudioResampler(format="s16", layout=layout, rate=frame.sample_rate)
                for part in resampler.resample(frame):
                    n_decoded += 1
                    progress.note_audio(part.samples / part.sample_rate)
                    yield PcmBlock(bytes(part.planes[0])[: part.samples * 2 * n_channels], part.sample_rate, n_channels)
        if not n_decoded:
            raise MediaRejected(Reason.DAMAGED, f"none of its {n_failed} packets could be decoded")
