"""Packets of selected tracks, with recovery from damage in the container."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from av.error import EOFError as EndOfStream
from av.error import FFmpegError
from av.stream import Discard

from tasks.contract import Reason
from tasks.media.container.source import MediaSource
from tasks.media.findings import MediaRejected
from tasks.media.limits import Progress

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet

PACKETS_PER_CHECK = 256


class PacketReader:
    """Yields the packets of `streams` in file order. `read_errors` counts the read errors that were skipped."""

    def __init__(
        self, container: InputContainer, streams: list[AudioStream], source: MediaSource, progress: Progress
    ) -> None:
        self._container, self._streams = container, streams
        self._source, self._progress = source, progress
        self.read_errors = 0
        self._last: Packet | None = None
        wanted = {stream.index for stream in streams}
        for stream in container.streams:
            if stream.index not in wanted:
                stream.discard = Discard.all  # for MP4, MOV and MXF this skips reading the video

    def __iter__(self) -> Iterator[Packet]:
        max_position, n_packets = -1, 0
        while True:
            try:
                for packet in self._container.demux(self._streams):
                    n_packets += 1
                    if n_packets % PACKETS_PER_CHECK == 0:  # an index can list millions of empty packets
                        self._progress.check()
                    # To FFmpeg an empty packet means end of stream, and PyAV yields some at the end.
                    if packet.size:
                        self._last = packet
                        yield packet
                if self._source.fault:
                    raise self._source.fault
                return
            except Exception as error:
                max_position = self._recover(error, max_position)
                if max_position < 0:
                    return

    @property
    def last_packet_at(self) -> int | None:
        """Byte position of the last packet in the source; None if the container does not give it."""
        return self._last.pos if self._last is not None else None

    def _recover(self, error: Exception, max_position: int) -> int:
        """Return the position to resume from, or -1 at the end. Re-raise errors that are not damage in the file."""
        if self._source.fault:
            raise self._source.fault
        if isinstance(error, MemoryError):  # PyAV maps ENOMEM to a subclass
            raise MediaRejected(Reason.MEMORY_LIMIT, "reading it exceeds the memory limit") from error
        # LookupError: PyAV 18.1 raises it for a track that appeared after the file was opened.
        if not isinstance(error, FFmpegError | LookupError):
            raise error
        if isinstance(error, EndOfStream):
            return -1
        self.read_errors += 1
        position = self._source.tell()
        return position if max_position < position < self._source.n_bytes else -1
