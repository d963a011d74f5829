"""Where live audio comes from: bytes of a file or of the network, passed on without looking into them.

FFmpeg's protocols fetch them, none of its demuxers: those run in the decoder's sandbox, behind a pipe.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import IO, TypeVar

from tasks.contract import InputRejected, Misconfigured, Reason
from tasks.streaming.hls_client import HlsClient, is_playlist

T = TypeVar("T")

SCHEMES = {
    "file": "file",
    "http": "http,https,tcp,tls",
    "https": "http,https,tcp,tls",
    "icecast": "icecast,http,https,tcp,tls",
    "rtp": "rtp,udp",
    "udp": "udp",
    "srt": "srt,udp",
}
"""Allowed URL schemes, and FFmpeg's protocol whitelist for each."""
TIMEOUT_S = 20.0  # of opening and of reading
READ_BYTES = 1 << 16  # a datagram is never parted
RTP_HEADER_BYTES, RTP_MPEG_TS = 12, 33


class LiveInput:
    """Bytes from an address. `pipe` is what the decoder reads; close it once the decoder has it."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self.pipe = pipe
        self.fault: Exception | None = None
        """Why the input broke off; to be looked at when the decoder has come to the end."""


@contextmanager
def open_input(address: str, stop: threading.Event) -> Iterator[LiveInput]:
    """Open a path or a URL, and read it in a thread until it ends, `stop` is set or nobody reads on.

    Raises:
        Misconfigured: the scheme is not in `SCHEMES`.
        InputRejected: it cannot be opened.
    """
    scheme = address.partition("://")[0].lower() if "://" in address else "file"
    if scheme not in SCHEMES:
        raise Misconfigured(
            f"unsupported URL scheme; supported are {', '.join(SCHEMES)}",
            reason=Reason.INVALID_ARGUMENT,
            subject=address,
            next_step="use a file or one of these schemes",
        )
    if scheme == "file":  # the decoder may seek in it
        path = Path(address.removeprefix("file://"))
        with _opened(lambda: path.open("rb", buffering=0), address) as file:
            yield LiveInput(file)
        return
    parts = _read(address)
    first = _opened(lambda: next(parts, b""), address)
    reading, writing = os.pipe()
    found = LiveInput(os.fdopen(reading, "rb", buffering=0))
    threading.Thread(target=_forward, args=(address, first, parts, writing, found, stop), daemon=True).start()
    try:
        yield found
    finally:
        found.pipe.close()


def _forward(
    address: str, first: bytes, parts: Iterator[bytes], writing: int, found: LiveInput, stop: threading.Event
) -> None:
    with suppress(BrokenPipeError), os.fdopen(writing, "wb", buffering=0) as pipe:  # the decoder has ended
        try:
            content: Iterator[bytes] = chain([first], parts)
            if address.startswith("http") and is_playlist(first):
                content = HlsClient(_read, stop).content(address, b"".join(content))
            elif address.startswith("rtp:"):
                content = map(_payload, content)
            for part in content:
                view = memoryview(part)
                while view and not stop.is_set():
                    view = view[pipe.write(view) :]
                if stop.is_set():
                    return
        except BrokenPipeError:
            raise
        except Exception as fault:
            found.fault = fault  # before the pipe is closed, which the decoder waits for


def _read(address: str) -> Iterator[bytes]:
    """Yield what FFmpeg's protocols receive. `data` is the demuxer that does not look into it."""
    import av

    options = {
        "protocol_whitelist": SCHEMES[address.partition("://")[0].lower()],
        "raw_packet_size": str(READ_BYTES),
        "analyzeduration": "0",
    }
    with av.open(address, format="data", options=options, timeout=(TIMEOUT_S, TIMEOUT_S)) as container:
        for packet in container.demux():
            if packet.size:
                yield bytes(packet)


def _payload(datagram: bytes) -> bytes:
    """The payload of an RTP packet (RFC 3550). Raises ValueError if it is not MPEG-TS, as RFC 2250 has it."""
    if len(datagram) < RTP_HEADER_BYTES or datagram[0] >> 6 != 2 or datagram[1] & 0x7F != RTP_MPEG_TS:
        raise ValueError(f"not RTP with MPEG-TS (payload type {RTP_MPEG_TS})")
    start = RTP_HEADER_BYTES + 4 * (datagram[0] & 0x0F)
    if datagram[0] & 0x10:  # an extension
        start += 4 + 4 * int.from_bytes(datagram[start + 2 : start + 4])
    return datagram[start:]


def _opened(open_it: Callable[[], T], address: str) -> T:
    from av.error import FFmpegError

    try:
        return open_it()
    except (OSError, ValueError, FFmpegError) as error:
        raise InputRejected(
            f"cannot be opened: {error}",
            reason=Reason.NOT_FOUND,
            subject=address,
            next_step="check the address; FFmpeg must be able to read it",
        ) from None
