"""Sources that expose part of a file: a link of a chained Ogg, or a transport stream up to where its audio moves."""

from __future__ import annotations

import os

from tasks.media.container.program_maps import Move, ProgramMapWatch, packet_stride
from tasks.media.container.source import MediaSource, SeekableFile
from tasks.media.limits import MediaLimits, Progress

SKIP_BYTES = 1 << 20


class Window:
    """The bytes of `file` from `begin` to `end` as a file of their own, preceded by `prefix`."""

    def __init__(self, file: SeekableFile, begin: int, end: int, prefix: bytes = b"") -> None:
        self._file, self._begin, self._prefix = file, begin, prefix
        self._n_bytes = len(prefix) + max(0, end - begin)
        self._at = 0

    def read(self, n_bytes: int) -> bytes:
        n_bytes = max(0, min(n_bytes, self._n_bytes - self._at))
        content = self._prefix[self._at : self._at + n_bytes]
        if n_bytes > len(content):
            self._file.seek(self._begin + self._at + len(content) - len(self._prefix))
            content += bytes(self._file.read(n_bytes - len(content)))
        self._at += len(content)
        return content

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._n_bytes}[whence]
        if base + offset < 0:
            raise ValueError("negative position")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at


class TransportSource(MediaSource):
    """A transport stream that ends where the decoded audio moves: see `program_maps`."""

    def __init__(
        self, file: SeekableFile, limits: MediaLimits, progress: Progress, begin: int = 0, prefix: bytes = b""
    ) -> None:
        """`begin`: first byte of `file` to read. `prefix`: bytes before it."""
        self._whole = file
        window = Window(file, begin, file.seek(0, os.SEEK_END), prefix) if begin else file
        super().__init__(window, limits, progress)
        self._offset = begin - len(prefix)  # from positions in this source to those in the file
        stride = packet_stride(self.head)
        self._watch = ProgramMapWatch(*stride) if stride else None
        self._move: Move | None = None

    def read(self, n_bytes: int) -> bytes:
        at = self.tell()
        data = super().read(n_bytes)
        if self._watch is None:
            return data
        if self._move is None and at <= self._watch.n_read < at + len(data):
            self._move = self._watch.feed(data[self._watch.n_read - at :])
            if self._move is not None:
                self.n_bytes = self._move.begin
        return data[: max(0, self.n_bytes - at)] if self._move is not None else data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_END and self._move is not None:
            return super().seek(self.n_bytes + offset)
        return super().seek(offset, whence)

    def watch_pids(self, pids: frozenset[int]) -> None:
        """Watch the PIDs that are decoded: the source ends where one of them moves."""
        if self._watch is not None:
            self._watch.decoded_pids = pids

    def next_move(self) -> Move | None:
        """Return where in the file the audio continues, None if it does not. Call at the end of this source."""
        if self._watch is None:
            return None
        move = self._move or self._watch.move_at_end()
        if move is None or move.begin + self._offset >= self._whole.seek(0, os.SEEK_END):
            return None
        return Move(move.begin + self._offset, move.prefix, move.except_pids)

    def skip_to_move(self) -> None:
        """Read up to the next move without decoding, where the stream has no audio before it."""
        while self._watch is not None and self._move is None:
            self.seek(self._watch.n_read)
            if not self.read(SKIP_BYTES):
                return
