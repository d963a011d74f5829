"""The links of a chained Ogg file: streams one after the other, each with its own headers (RFC 3533, section 4).

Recorders of radio streams write a new link for each song. FFmpeg's demuxer stops at a link whose channels or rate
differ ("Not yet implemented in FFmpeg, patches welcome"; bvibber/OGVKit#165, savonet/liquidsoap#457), so each link is
opened by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

CAPTURE = b"OggS"
HEADER_BYTES = 27
MAX_PAGE_BYTES = HEADER_BYTES + 255 + 255 * 255
FIRST_PAGE = 2  # a flag
READ_BYTES = 1 << 20
MAX_LINKS = 100_000
MAX_FIRST_PAGE_S = 10.0
NO_POSITION = (1 << 64) - 1

# Beginnings of the first packets of audio and of other streams.
AUDIO_HEADERS = (b"OpusHead", b"\x01vorbis", b"\x7fFLAC", b"fLaC", b"Speex   ", b"CELT    ", b"PCM     ")
OTHER_HEADERS = (b"\x80theora", b"fishead\0", b"BBCD", b"OVP80", b"\x80kate", b"CMML", b"\x01video", b"\x01text")
OPUS_RATE_HZ = 48_000


@dataclass(frozen=True)
class OggLink:
    """A link's bytes and, from its last page, its length; 0 if its codec's positions are not samples."""

    begin: int
    end: int
    duration_s: float
    stray_s: float = 0.0  # of links behind it whose first page is destroyed, by their bytes


@dataclass(frozen=True)
class _Page:
    begin: int
    end: int
    flags: int
    position: int  # of its last sample, counted from the link's start
    serial: int
    content: bytes  # its first bytes


def find_links(n_bytes: int, read_at: Callable[[int, int], bytes]) -> list[OggLink]:
    """The links of an Ogg file of `n_bytes`, in order; a single one for a file that is not chained.

    Reads the file once: 15 ms for an hour of Opus, 60 ms for one of Vorbis.
    """
    links: list[OggLink] = []
    open_link = _OpenLink(0)
    for page in _pages(n_bytes, read_at):
        is_first = bool(page.flags & FIRST_PAGE) and page.content.startswith(AUDIO_HEADERS + OTHER_HEADERS)
        if is_first and open_link.has_content and len(links) < MAX_LINKS:
            links.append(open_link.ending_at(page.begin))
            open_link = _OpenLink(page.begin)
        open_link.add(page, is_first)
    links.append(open_link.ending_at(n_bytes))
    return links


class _OpenLink:
    """A link whose end is not known yet."""

    def __init__(self, begin: int) -> None:
        self._begin = begin
        self._rate_hz: dict[int, int] = {}  # by serial number
        self._first: dict[int, int] = {}  # sample positions at the end of the first page of audio, by serial number
        self._last: dict[int, int] = {}
        self._stray_position = 0
        self._n_own = self._n_stray = 0  # bytes of its streams, and of those whose first page is destroyed
        self.has_content = False  # pages after its headers' first ones

    def add(self, page: _Page, is_first: bool) -> None:
        if is_first:
            self._rate_hz[page.serial] = _sample_rate_hz(page.content)
            return
        self.has_content = True
        if page.serial in self._rate_hz:
            self._n_own += page.end - page.begin
        else:
            self._n_stray += page.end - page.begin
            if page.position != NO_POSITION:
                self._stray_position = page.position
        if page.position not in (0, NO_POSITION) and page.serial in self._rate_hz:
            self._first.setdefault(page.serial, page.position)
            self._last[page.serial] = page.position

    def ending_at(self, end: int) -> OggLink:
        """A link cut out of a longer stream counts on from there: then the first page's audio is left out."""
        lengths = [
            (last if first < MAX_FIRST_PAGE_S * rate_hz else last - first) / rate_hz
            for serial, last in self._last.items()
            if (rate_hz := self._rate_hz[serial]) and (first := self._first[serial]) <= last
        ]
        duration_s = max(lengths, default=0.0)
        stray_s = min(duration_s * self._n_stray / max(1, self._n_own), self._stray_position / OPUS_RATE_HZ)
        return OggLink(self._begin, end, duration_s, stray_s)


def _sample_rate_hz(header: bytes) -> int:
    """The rate that a stream's positions count in; 0 if they do not count samples, or it is not audio."""
    if header.startswith(b"OpusHead"):
        return OPUS_RATE_HZ
    if header.startswith(b"\x01vorbis"):
        return int.from_bytes(header[12:16], "little")
    if header.startswith(b"\x7fFLAC"):  # a mapping header of 13 bytes, then STREAMINFO
        return int.from_bytes(header[27:30], "big") >> 4
    if header.startswith(b"Speex   "):
        return int.from_bytes(header[36:40], "little")
    return 0


def _pages(n_bytes: int, read_at: Callable[[int, int], bytes]) -> Iterator[_Page]:
    """All pages, in order. Damaged spans between them are skipped."""
    base, data = 0, b""
    at = 0
    while at + HEADER_BYTES <= n_bytes:
        if at < base or at + MAX_PAGE_BYTES > base + len(data):
            if at != base or not data:
                base, data = at, read_at(at, READ_BYTES)
            if at - base + HEADER_BYTES > len(data):
                return
        offset = at - base
        if data[offset : offset + 4] != CAPTURE or data[offset + 4]:
            following = data.find(CAPTURE, offset + 1)
            at = base + (following if following > 0 else max(len(data) - 3, offset + 1))
            continue
        n_segments = data[offset + 26]
        begin = offset + HEADER_BYTES + n_segments
        end = begin + sum(data[offset + HEADER_BYTES : begin])
        yield _Page(
            begin=at,
            end=base + end,
            flags=data[offset + 5],
            position=int.from_bytes(data[offset + 6 : offset + 14], "little"),
            serial=int.from_bytes(data[offset + 14 : offset + 18], "little"),
            content=data[begin : min(end, begin + 64)],
        )
        at = base + end
