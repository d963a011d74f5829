"""The bytes of one medium, opened so that FFmpeg can read them and nothing else.

FFmpeg would follow a playlist to other files and addresses, take a name for an option, a protocol or a device, and
guess the format from an extension. So it never gets a name: it reads through `MediaSource`. Its protocols are all
switched off, and its formats are limited to containers that hold audio themselves (`FORMATS`).
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import av
from av.error import ExitError, FFmpegError, PatchWelcomeError

from tasks.contract import Reason
from tasks.media.container.declared_length import declared_bytes
from tasks.media.container.formats import FORMATS, MAX_CHANNELS, REMOTE_REFERENCE, SIGNATURES, SPEAKERS
from tasks.media.findings import MediaRejected
from tasks.media.limits import MediaLimits, Stopwatch

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer

Media = str | Path | bytes | IO[bytes]

READ_BYTES = 1 << 18
HEAD_BYTES = 4096


class MediaSource:
    """A seekable file as FFmpeg sees it. Has no name, and stops when the clock runs out.

    Every read passes here, so a demuxer that seeks in circles is stopped here too.
    """

    def __init__(self, file: IO[bytes], limits: MediaLimits, stopwatch: Stopwatch) -> None:
        self._file = file
        self._stopwatch = stopwatch
        self.fault: Exception | None = None  # a read that failed: the storage's fault or the clock's, not the medium's
        self.n_bytes = file.seek(0, os.SEEK_END)
        if self.n_bytes == 0:
            raise MediaRejected(Reason.EMPTY, "the file has no bytes")
        limits.check_size(self.n_bytes)
        file.seek(0)
        self.head = bytes(file.read(HEAD_BYTES))
        file.seek(0)

    def read(self, n_bytes: int) -> bytes:
        try:
            self._stopwatch.check()
            return bytes(self._file.read(n_bytes))  # stores hand out buffers of their own; PyAV takes only bytes
        except Exception as fault:
            self.fault = fault
            raise

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError):
            return -22  # EINVAL: a place before the beginning or past 2^63; a demuxer can live with that

    def tell(self) -> int:
        return self._file.tell()

    @property
    def looks_like_media(self) -> bool:
        """Does it begin as some container or codec does?"""
        return any(self.head[at : at + len(mark)] == mark for at, mark in SIGNATURES)

    def is_cut_short(self) -> bool:
        """Does the file end before its container says it does, as a copy does that is under way?

        A header that lies about its length in bytes looks the same.
        """
        return self.declared_bytes() > self.n_bytes

    def declared_bytes(self) -> int:
        """What the container says of the length of the whole file; 0 where it says nothing."""
        was_at = self._file.tell()
        declared = declared_bytes(self.head, self.n_bytes, self._read_at)
        self._file.seek(was_at)
        return declared

    def _read_at(self, place: int, n_bytes: int) -> bytes:
        self._file.seek(place)
        return bytes(self._file.read(n_bytes))


@contextmanager
def open_source(media: Media, limits: MediaLimits, stopwatch: Stopwatch) -> Iterator[MediaSource]:
    """The bytes of `media`: a path, the bytes themselves, or a seekable file object (which stays open).

    A path is a path, never an address. Raises `MediaRejected`: unreadable, empty, too_large, remote_reference.
    """
    if isinstance(media, str | Path):
        file: IO[bytes] = open_regular_file(media)
    else:
        file = io.BytesIO(media) if isinstance(media, bytes) else media
    try:
        try:
            source = MediaSource(file, limits, stopwatch)
        except (OSError, ValueError) as error:
            raise MediaRejected(Reason.UNREADABLE, f"cannot be read: {error}") from error
        if REMOTE_REFERENCE.match(source.head.removeprefix(b"\xef\xbb\xbf").lstrip()):
            raise MediaRejected(Reason.REMOTE_REFERENCE, "holds no media, only names other files or addresses")
        yield source
    finally:
        if file is not media:
            file.close()


def open_regular_file(path: str | Path) -> IO[bytes]:
    try:
        # Without O_NONBLOCK, opening a named pipe waits for a writer for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        raise MediaRejected(Reason.UNREADABLE, f"{os.fspath(path)!r} cannot be opened: {error}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise MediaRejected(Reason.UNREADABLE, f"{os.fspath(path)!r} is a folder, a pipe or a device, not a file")
    return os.fdopen(descriptor, "rb", buffering=0)


@dataclass(frozen=True)
class OpenMedia:
    """An opened container. `channel_names` per stream index: ("FL", "FR"); empty where the header names none."""

    container: InputContainer
    channel_names: dict[int, tuple[str, ...]]


@contextmanager
def open_container(source: MediaSource, limits: MediaLimits) -> Iterator[OpenMedia]:
    """FFmpeg's view of `source`.

    Raises `MediaRejected`: not_media, damaged, truncated, unsupported_codec, memory_limit, time_limit.
    """
    try:
        container = av.open(
            source,
            mode="r",
            metadata_errors="replace",
            buffer_size=READ_BYTES,
            timeout=limits.wall_clock_s,
            container_options={"protocol_whitelist": "none", "format_whitelist": ",".join(FORMATS)},
        )
    except MemoryError as error:  # PyAV's own for ENOMEM is one too
        raise MediaRejected(Reason.MEMORY_LIMIT, "opening it needs more memory than it may have") from error
    except ExitError as error:
        raise MediaRejected(Reason.TIME_LIMIT, f"opening it took more than {limits.wall_clock_s:g} s") from error
    except PatchWelcomeError as error:
        raise MediaRejected(Reason.UNSUPPORTED_CODEC, "FFmpeg knows this variant but does not read it") from error
    except (FFmpegError, ValueError, LookupError, RuntimeError, ArithmeticError, AssertionError) as error:
        if source.fault:
            raise source.fault from None
        if source.is_cut_short():
            raise MediaRejected(
                Reason.TRUNCATED, "the file ends before its index: is it still being copied?"
            ) from error
        detail = getattr(error, "strerror", None) or error
        if source.looks_like_media:
            raise MediaRejected(Reason.DAMAGED, f"begins like media, but cannot be opened: {detail}") from error
        raise MediaRejected(Reason.NOT_MEDIA, "no audio or video format that is known") from error
    with container:
        yield OpenMedia(container, {stream.index: _take_channel_names(stream) for stream in container.streams.audio})


def _take_channel_names(stream: AudioStream) -> tuple[str, ...]:
    """The names of the channels. Takes a custom channel order out of the decoder's hands.

    PyAV 18.1 copies FFmpeg's layout structs byte by byte and frees the map of a custom order once for each copy
    (since PyAV-Org/PyAV#2284): a two-channel file with the order right, left aborts the process. A layout of bare
    channels has no map. The one object made here then owns the map that it takes away.
    """
    context = stream.codec_context
    if context is None:
        return ()
    layout = context.layout  # once: a second object would be a second owner
    names = tuple(channel.name for channel in layout.channels) if layout.nb_channels <= MAX_CHANNELS else ()
    if layout.name[:1].isdigit() and "(" in layout.name:  # "2 channels (FR+FL)"
        context.layout = f"{layout.nb_channels} channels"
    return names if all(name in SPEAKERS for name in names) else ()
