"""Find the links of a chained Ogg file: consecutive streams, each with its own headers (RFC 3533, section 4).

Recorders of radio streams write a new link for each song. FFmpeg's demuxer stops at a link whose channels or rate
differ ("Not yet implemented in FFmpeg, patches welcome"; bvibber/OGVKit#165, savonet/liquidsoap#457), so each link is
opened separately.
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
    """A link's byte range and duration from its last page; 0 if its codec's positions are not sample counts."""

    begin: int
    end: int
    duration_s: float
    lost_s: float = 0.0  # duration of streams in it whose headers are destroyed


@dataclass(frozen=True)
class _Page:
    begin: int
    end: int
    flags: int
    position: int  # of its last sample, counted from the link's start
    serial: int
    content: bytes  # its first bytes


def find_links(n_bytes: int, read_at: Callable[[int, int], bytes]) -> list[OggLink]:
    """Return the links of an Ogg file of `n_bytes`, in order; a single one for a file that is not chained.

    Reads the file once: 15 ms for an hour of Opus, 60 ms for one of Vorbis.
    """
    links: list[_Link] = [_Link(0)]
    for page in _read_pages(n_bytes, read_at):
        if page.flags & FIRST_PAGE and links[-1].has_content and len(links) < MAX_LINKS:
            links.append(_Link(page.begin))
        links[-1].add(page)
    bytes_per_s = sum(link.n_bytes for link in links) / max(sum(link.duration_s for link in links), 1.0)
    ends = [link.begin for link in links[1:]] + [n_bytes]
    return [
        OggLink(link.begin, end, link.duration_s, link.lost_s(bytes_per_s))
        for link, end in zip(links, ends, strict=True)
    ]


class _Link:
    """Accumulates the pages of a link."""

    def __init__(self, begin: int) -> None:
        self.begin = begin
        self.has_content = False  # pages after those that begin its streams
        self.n_bytes = 0  # of audio pages
        self._is_known = False  # whether one of its streams has a known header
        self._rate_hz: dict[int, int] = {}  # by serial number; 0 if positions are not samples
        self._first: dict[int, int] = {}  # sample positions at the end of the first page of audio, by serial number
        self._last: dict[int, int] = {}
        self._n_stray = self._stray_position = 0  # of streams whose first page is destroyed

    def add(self, page: _Page) -> None:
        if page.flags & FIRST_PAGE:
            self._rate_hz[page.serial] = _sample_rate_hz(page.content)
            self._is_known |= page.content.startswith(AUDIO_HEADERS + OTHER_HEADERS)
            return
        self.has_content = True
        rate_hz = self._rate_hz.get(page.serial)
        has_position = page.position not in (0, NO_POSITION)
        if rate_hz:
            self.n_bytes += page.end - page.begin
            if has_position:
                self._first.setdefault(page.serial, page.position)
                self._last[page.serial] = page.position
        elif rate_hz is None or not self._is_known:
            self._n_stray += page.end - page.begin
            self._stray_position = page.position if has_position else self._stray_position

    @property
    def duration_s(self) -> float:
        """Duration by page positions.

        In a link cut out of a longer stream they do not start at 0; the first page is then not counted.
        """
        lengths = [
            (last if first < MAX_FIRST_PAGE_S * rate_hz else last - first) / rate_hz
            for serial, last in self._last.items()
            if (rate_hz := self._rate_hz[serial]) and (first := self._first[serial]) <= last
        ]
        return max(lengths, default=0.0)

    def lost_s(self, bytes_per_s: float) -> float:
        """Return the duration of streams whose headers are destroyed: by bytes, limited by their positions."""
        return min(self._n_stray / max(bytes_per_s, 1.0), self._stray_position / OPUS_RATE_HZ)


def _sample_rate_hz(header: bytes) -> int:
    """Return the rate of a stream's page positions; 0 if they are not sample counts, or it is no audio."""
    if header.startswith(b"OpusHead"):
        return OPUS_RATE_HZ
    if header.startswith(b"\x01vorbis"):
        return int.from_bytes(header[12:16], "little")
    if header.startswith(b"\x7fFLAC"):  # a mapping header of 13 bytes, then STREAMINFO
        return int.from_bytes(header[27:30], "big") >> 4
    if header.startswith(b"Speex   "):
        return int.from_bytes(header[36:40], "little")
    return 0


def _read_pages(n_bytes: int, read_at: Callable[[int, int], bytes]) -> Iterator[_Page]:
    """Yield all pages in order, skipping damaged spans."""
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
