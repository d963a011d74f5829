"""The packets of some tracks, read on past what is damaged in the container."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from av.error import EOFError as EndOfStream
from av.error import ExitError, FFmpegError
from av.stream import Discard

from tasks.contract import Reason
from tasks.media.container.source import MediaSource
from tasks.media.findings import MediaRejected
from tasks.media.limits import Stopwatch

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet

PACKETS_PER_CHECK = 256


class PacketReader:
    """The packets of `streams`, in the file's order. `read_errors` counts the places that could not be read."""

    def __init__(
        self, container: InputContainer, streams: list[AudioStream], source: MediaSource, stopwatch: Stopwatch
    ) -> None:
        self._container, self._streams = container, streams
        self._source, self._stopwatch = source, stopwatch
        self.read_errors = 0
        wanted = {stream.index for stream in streams}
        for stream in container.streams:
            if stream.index not in wanted:
                stream.discard = Discard.all  # MP4, MOV and MXF then skip the video's bytes

    def __iter__(self) -> Iterator[Packet]:
        furthest, n_packets = -1, 0
        while True:
            try:
                for packet in self._container.demux(self._streams):
                    n_packets += 1
                    if n_packets % PACKETS_PER_CHECK == 0:  # an index may list millions of packets without a byte
                        self._stopwatch.check()
                    # FFmpeg takes an empty packet for the end of all, and PyAV sends some at the end.
                    if packet.size:
                        yield packet
                if self._source.fault:
                    raise self._source.fault
                return
            except Exception as error:
                furthest = self._recover(error, furthest)
                if furthest < 0:
                    return

    def _recover(self, error: Exception, furthest: int) -> int:
        """The place from which to read on; -1 when there is no more. Raises what is no damage of the file."""
        if self._source.fault:
            raise self._source.fault
        if isinstance(error, MemoryError):  # PyAV's own for ENOMEM is one too
            raise MediaRejected(Reason.MEMORY_LIMIT, "reading it needs more memory than it may have") from error
        if isinstance(error, ExitError):
            raise MediaRejected(Reason.TIME_LIMIT, f"decoding took more than {self._stopwatch.limit_s:g} s") from error
        # LookupError: PyAV 18.1 looks up a track that has appeared since the file was opened.
        if not isinstance(error, FFmpegError | LookupError):
            raise error
        if isinstance(error, EndOfStream):
            return -1
        self.read_errors += 1
        at = self._source.tell()
        return at if furthest < at < self._source.n_bytes else -1
