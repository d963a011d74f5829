"""Where a container says that its file ends: how a copy that broke off is told from a header that is merely wrong.

A duration alone proves nothing, for whoever writes a header may guess it. A length in bytes that the file does not
have, written together with the audio, says that there was more.
"""

from __future__ import annotations

from collections.abc import Callable

BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
EBML, SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
MXF_PARTITION = b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02\x01\x01"
XING_PLACES = (36, 21, 13)  # bytes from the frame's header, by its version and channels
# What programs write that could not go back to the header is about the most that its field holds.
MAX_BYTES = 1 << 48
GUESSED = tuple(range((1 << bits) - (1 << 16), (1 << bits) + 1) for bits in (31, 32))


def declared_bytes(head: bytes, n_bytes: int, read_at: Callable[[int, int], bytes]) -> int:
    """The least length of the whole file, by its own account; 0 where it gives none.

    `head` is its beginning, `n_bytes` its length and `read_at(place, n)` some of its bytes.
    """
    if head[:4] in (b"RIFF", b"FORM"):
        claimed = int.from_bytes(head[4:8], "little" if head[:4] == b"RIFF" else "big")
        # Writers leave the header of eight bytes in or out.
        return 0 if any(claimed in guesses for guesses in GUESSED) else claimed
    if head[:4] in (b"RF64", b"BW64") and head[12:16] == b"ds64":
        claimed = int.from_bytes(head[20:28], "little")
        return claimed if claimed < MAX_BYTES else 0
    if head[4:8] in BOXES:
        return _end_of_boxes(n_bytes, read_at)
    if head[:4] == EBML:
        return _end_of_segment(head)
    if head[: len(MXF_PARTITION)] == MXF_PARTITION:
        return _footer(head)
    return _end_by_xing(head)


def _end_of_boxes(n_bytes: int, read_at: Callable[[int, int], bytes]) -> int:
    """MP4 and MOV: boxes one behind the other."""
    at = 0
    while at + 8 <= n_bytes:
        header = read_at(at, 16)
        length = int.from_bytes(header[:4], "big")
        if length == 1 and len(header) == 16:
            length = int.from_bytes(header[8:], "big")
        if length < 8:  # 0: to the end of the file; anything else is no box
            break
        at += length
    return at


def _end_of_segment(head: bytes) -> int:
    """Matroska and WebM: an EBML header, then one segment."""
    length, at = _vint(head, 4)
    at += length
    if head[at : at + 4] != SEGMENT:
        return 0
    length, begin = _vint(head, at + 4)
    is_unknown = length == (1 << 7 * (begin - at - 4)) - 1  # all ones: a live stream
    return 0 if is_unknown else begin + length


def _vint(head: bytes, at: int) -> tuple[int, int]:
    """A length of EBML, and the place behind it."""
    first = head[at] if at < len(head) else 0
    n_bytes = 9 - first.bit_length()
    return int.from_bytes(head[at : at + n_bytes], "big") & ((1 << 7 * n_bytes) - 1), at + n_bytes


def _footer(head: bytes) -> int:
    """MXF: its first partition tells where the last one begins, 0 where that was not known."""
    at = 17 + (head[16] & 0x7F if len(head) > 16 and head[16] & 0x80 else 0)
    begin = int.from_bytes(head[at + 24 : at + 32], "big")
    return begin + 1 if begin else 0


def _end_by_xing(head: bytes) -> int:
    """MP3: the first frame may hold a table with the number of bytes from there on."""
    for mark in (b"Xing", b"Info"):
        at = head.find(mark)
        is_in_frame = any(
            at >= place and head[at - place] == 0xFF and head[at - place + 1] & 0xE0 == 0xE0 for place in XING_PLACES
        )
        if at >= 0 and is_in_frame:
            flags = int.from_bytes(head[at + 4 : at + 8], "big")
            if flags & 2:
                counted = at + 8 + 4 * (flags & 1)
                return at - max(XING_PLACES) + int.from_bytes(head[counted : counted + 4], "big")
    return 0
