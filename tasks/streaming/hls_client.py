"""HTTP Live Streaming (RFC 8216): the segments of a playlist, one after the other, as one stream of bytes.

FFmpeg's own client would open the segments in the process that also decodes them. MPEG-TS, packed AAC and fragmented
MP4 can be joined like this; encrypted segments and byte ranges are refused.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

MAX_PLAYLIST_BYTES = 1 << 22
LIVE_START = 3  # segments before the end of a live playlist, as RFC 8216 6.3.3 asks for at least
MAX_TARGET_S = 60
MAX_REFUSALS = 5  # of a playlist in a row, while it is reloaded
ATTRIBUTE = re.compile(r'(?<![A-Z0-9-])([A-Z0-9-]++)=("[^"]*+"|[^,]*+)')


@dataclass(frozen=True)
class MediaPlaylist:
    """The segments that a server offers now."""

    first: int
    """The number of the first one."""
    segments: tuple[str, ...]
    """Their addresses."""
    header: str
    """The address of what goes before them (fragmented MP4); empty: nothing."""
    target_s: int
    has_ended: bool


def is_playlist(content: bytes) -> bool:
    return content.removeprefix(b"\xef\xbb\xbf").startswith(b"#EXTM3U")


class HlsClient:
    """Reads a stream. `read` yields the bytes of an address; `stop` ends the waiting between reloads."""

    def __init__(self, read: Callable[[str], Iterator[bytes]], stop: threading.Event) -> None:
        self._read, self._stop = read, stop

    def content(self, address: str, playlist: bytes) -> Iterator[bytes]:
        """Yield the stream's bytes; a live one from its last segments on.

        Raises:
            ValueError: the playlist is invalid, or what it offers is not supported.
            OSError: the server does not answer.
        """
        text = _text(playlist)
        if variant := choose_variant(text, address):
            address, text = variant, self._playlist(variant)
        at, sent_header = -1, ""
        while not self._stop.is_set():
            found = parse_media_playlist(text, address)
            if at < 0:
                at = found.first + (0 if found.has_ended else max(0, len(found.segments) - LIVE_START))
            at = max(at, found.first)  # what the server has dropped meanwhile is lost
            has_new = at < found.first + len(found.segments)
            for segment in found.segments[at - found.first :]:
                if found.header != sent_header:
                    sent_header = found.header
                    yield from self._read(found.header)
                yield from self._read(segment)
                at += 1
            if found.has_ended:
                return
            self._stop.wait(found.target_s if has_new else found.target_s / 2)
            text = self._reload(address)

    def _reload(self, address: str) -> str:
        """Read the playlist again. Some servers refuse it now and then."""
        for _ in range(MAX_REFUSALS - 1):
            try:
                return self._playlist(address)
            except OSError:
                self._stop.wait(1.0)
        return self._playlist(address)

    def _playlist(self, address: str) -> str:
        content = b""
        for part in self._read(address):
            content += part
            if len(content) > MAX_PLAYLIST_BYTES:
                raise ValueError(f"{address}: a playlist of more than {MAX_PLAYLIST_BYTES} bytes")
        return _text(content)


def choose_variant(text: str, address: str) -> str:
    """The address of a master playlist's audio: a rendition of its own, otherwise the variant with the lowest rate.

    Empty if this is no master playlist.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    audio: list[tuple[bool, int, str]] = []
    variants: list[tuple[int, int, str]] = []
    for number, line in enumerate(lines):
        if line.startswith("#EXT-X-MEDIA:"):
            media = _attributes(line)
            if media.get("TYPE") == "AUDIO" and media.get("URI"):
                audio.append((media.get("DEFAULT") != "YES", len(audio), media["URI"]))
        elif line.startswith("#EXT-X-STREAM-INF:") and number + 1 < len(lines):
            rate = _attributes(line).get("BANDWIDTH", "")
            variants.append((int(rate) if rate.isdecimal() else 0, len(variants), lines[number + 1]))
    found = min(audio)[2] if audio else min(variants)[2] if variants else ""
    return _join(address, found) if found else ""


def parse_media_playlist(text: str, address: str) -> MediaPlaylist:
    """Parse a media playlist. Raises ValueError: encrypted segments, byte ranges, addresses other than HTTP."""
    first, target_s, header, has_ended = 0, 6, "", False
    segments = []
    for line in map(str.strip, text.splitlines()):
        tag, _, value = line.partition(":")
        match tag:
            case "#EXT-X-MEDIA-SEQUENCE" if value.isdecimal():
                first = int(value)
            case "#EXT-X-TARGETDURATION" if value.isdecimal():
                target_s = min(max(int(value), 1), MAX_TARGET_S)
            case "#EXT-X-KEY" if _attributes(line).get("METHOD", "NONE") != "NONE":
                raise ValueError("its segments are encrypted, which is not supported")
            case "#EXT-X-BYTERANGE":
                raise ValueError("its segments are byte ranges, which is not supported")
            case "#EXT-X-MAP":
                found = _attributes(line)
                if "BYTERANGE" in found or "URI" not in found:
                    raise ValueError("its header is a byte range, which is not supported")
                header = _join(address, found["URI"])
            case "#EXT-X-ENDLIST":
                has_ended = True
            case _ if line and not line.startswith("#"):
                segments.append(_join(address, line))
    return MediaPlaylist(first, tuple(segments), header, target_s, has_ended)


def _text(playlist: bytes) -> str:
    if not is_playlist(playlist):
        raise ValueError("not a playlist")
    return playlist.decode("utf-8-sig", "replace")


def _attributes(line: str) -> dict[str, str]:
    return {name: value.strip('"') for name, value in ATTRIBUTE.findall(line.partition(":")[2])}


def _join(address: str, reference: str) -> str:
    joined = urljoin(address, reference)
    if urlsplit(joined).scheme not in ("http", "https"):
        raise ValueError("it refers to something other than HTTP")
    return joined
