"""Open a medium so that FFmpeg can read its bytes and nothing else.

Given a file name, FFmpeg may follow a playlist to other files and addresses, interpret the name as an option, protocol
or device, and guess the format from the extension. So it never gets a name: it reads through `MediaSource`, with all
protocols disabled and only those formats enabled that contain their own audio (`FORMATS`).
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

import av
from av.error import FFmpegError, PatchWelcomeError

from tasks.contract import Reason
from tasks.media.container.declared_length import declared_bytes
from tasks.media.container.formats import FORMATS, MAX_CHANNELS, REMOTE_REFERENCE, SIGNATURES, SPEAKERS
from tasks.media.findings import MediaRejected
from tasks.media.limits import MediaLimits, Progress

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer

Media = str | Path | bytes | IO[bytes]

READ_BYTES = 1 << 18
HEAD_BYTES = 4096


class SeekableFile(Protocol):
    """The part of the file interface that sources use."""

    def read(self, n_bytes: int, /) -> bytes: ...

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int: ...

    def tell(self) -> int: ...


class MediaSource:
    """A seekable file as FFmpeg sees it: without a name, and with limits.

    Every read passes through here, so they also stop a demuxer that seeks endlessly: only blocks that are read for the
    first time count as progress.
    """

    def __init__(self, file: SeekableFile, limits: MediaLimits, progress: Progress) -> None:
        self._file = file
        self._progress = progress
        self.fault: Exception | None = None  # a failed read: storage error or limit
        self.n_bytes = file.seek(0, os.SEEK_END)
        if self.n_bytes == 0:
            raise MediaRejected(Reason.EMPTY, "the file is empty")
        limits.check_size(self.n_bytes)
        progress.n_bytes = max(progress.n_bytes, self.n_bytes)
        self._is_read = bytearray(self.n_bytes // READ_BYTES + 1)  # by block
        file.seek(0)
        self.head = bytes(file.read(HEAD_BYTES))
        file.seek(0)

    def read(self, n_bytes: int) -> bytes:
        try:
            return self._read(n_bytes)
        except Exception as fault:
            self.fault = fault
            raise

    def _read(self, n_bytes: int) -> bytes:
        self._progress.check()
        block = min(self._file.tell() // READ_BYTES, len(self._is_read) - 1)  # a file may grow while it is read
        data = bytes(self._file.read(n_bytes))  # object stores return their own buffer types; PyAV accepts only bytes
        if data and not self._is_read[block]:
            self._is_read[block] = True
            self._progress.note_new_bytes()
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError):
            return -22  # EINVAL: before the beginning or beyond 2^63; demuxers handle it

    def tell(self) -> int:
        return self._file.tell()

    @property
    def looks_like_media(self) -> bool:
        """Whether it begins with the signature of a container or codec."""
        return any(self.head[at : at + len(mark)] == mark for at, mark in SIGNATURES)

    def is_cut_short(self) -> bool:
        """Whether the file is shorter than its container declares, like a copy in progress.

        A header with a wrong length in bytes looks the same.
        """
        return self.declared_bytes() > self.n_bytes

    def declared_bytes(self) -> int:
        """Return the file length that the container declares; 0 if it declares none."""
        position = self._file.tell()
        declared = declared_bytes(self.head, self.n_bytes, self.read_at)
        self._file.seek(position)
        return declared

    @property
    def file(self) -> SeekableFile:
        return self._file

    def read_at(self, offset: int, n_bytes: int) -> bytes:
        """Read at any offset, bypassing FFmpeg. Moves the position that FFmpeg reads from."""
        self._file.seek(offset)
        return self._read(n_bytes)


@contextmanager
def open_source(media: Media, limits: MediaLimits, progress: Progress) -> Iterator[MediaSource]:
    """Open `media`: a path, bytes, or a seekable file object (which stays open).

    A string is a local path, never a URL. Raises `MediaRejected`: unreadable, empty, too_large, remote_reference.
    """
    if isinstance(media, str | Path):
        file: IO[bytes] = open_regular_file(media)
    else:
        file = io.BytesIO(media) if isinstance(media, bytes) else media
    try:
        try:
            source = MediaSource(file, limits, progress)
        except (OSError, ValueError) as error:
            raise MediaRejected(Reason.UNREADABLE, f"cannot be read: {error}") from error
        if REMOTE_REFERENCE.match(source.head.removeprefix(b"\xef\xbb\xbf").lstrip()):
            raise MediaRejected(
                Reason.REMOTE_REFERENCE, "contains no media, only references to other files or addresses"
            )
        yield source
    finally:
        if file is not media:
            file.close()


def open_regular_file(path: str | Path) -> IO[bytes]:
    """Open a regular file for reading. Raises `MediaRejected(unreadable)` for anything else."""
    try:
        # Without O_NONBLOCK, opening a named pipe blocks until there is a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        raise MediaRejected(Reason.UNREADABLE, f"{os.fspath(path)!r} cannot be opened: {error}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise MediaRejected(
            Reason.UNREADABLE, f"{os.fspath(path)!r} is a folder, a pipe or a device, not a regular file"
        )
    return os.fdopen(descriptor, "rb", buffering=0)


@dataclass(frozen=True)
class OpenMedia:
    """An opened container. `channel_names` by stream index: ("FL", "FR"); empty if the header names none."""

    container: InputContainer
    channel_names: dict[int, tuple[str, ...]]


@contextmanager
def open_container(source: MediaSource) -> Iterator[OpenMedia]:
    """Open the container in `source` with FFmpeg.

    Raises `MediaRejected`: not_media, damaged, truncated, unsupported_codec, memory_limit, decoder_limit.
    """
    try:
        container = av.open(
            source,
            mode="r",
            metadata_errors="replace",
            buffer_size=READ_BYTES,
            container_options={"protocol_whitelist": "none", "format_whitelist": ",".join(FORMATS)},
        )
    except MemoryError as error:  # PyAV maps ENOMEM to a subclass
        raise MediaRejected(Reason.MEMORY_LIMIT, "opening it exceeds the memory limit") from error
    except PatchWelcomeError as error:
        raise MediaRejected(
            Reason.UNSUPPORTED_CODEC, "FFmpeg recognises this variant but does not support it"
        ) from error
    except (FFmpegError, ValueError, LookupError, RuntimeError, ArithmeticError, AssertionError) as error:
        if source.fault:
            raise source.fault from None
        if source.is_cut_short():
            raise MediaRejected(
                Reason.TRUNCATED, "the file ends before its index: is it still being copied?"
            ) from error
        detail = getattr(error, "strerror", None) or error
        if source.looks_like_media:
            raise MediaRejected(Reason.DAMAGED, f"has the signature of media but cannot be opened: {detail}") from error
        raise MediaRejected(Reason.NOT_MEDIA, "not a known audio or video format") from error
    with container:
        yield OpenMedia(container, {stream.index: _take_channel_names(stream) for stream in container.streams.audio})


def _take_channel_names(stream: AudioStream) -> tuple[str, ...]:
    """Return the channel names, and replace a custom channel order in the decoder by an unordered layout.

    PyAV 18.1 copies FFmpeg's layout structs bytewise and frees the channel map of a custom order once per copy (since
    PyAV-Org/PyAV#2284): a two-channel file ordered right, left aborts the process. An unordered layout has no map, and
    the single layout object created here then owns the one it replaces.
    """
    context = stream.codec_context
    if context is None:
        return ()
    layout = context.layout  # read only once: a second object would free the map again
    names = tuple(channel.name for channel in layout.channels) if layout.nb_channels <= MAX_CHANNELS else ()
    if layout.name[:1].isdigit() and "(" in layout.name:  # "2 channels (FR+FL)"
        context.layout = f"{layout.nb_channels} channels"
    return names if all(name in SPEAKERS for name in names) else ()
