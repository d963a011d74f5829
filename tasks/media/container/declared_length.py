"""The file length that a container declares, to tell a truncated copy from a merely wrong header.

A declared duration proves nothing, since muxers may estimate it. A declared length in bytes beyond the end of the file
shows that the file is truncated.
"""

from __future__ import annotations

from collections.abc import Callable

BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
EBML, SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
MXF_PARTITION = b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02\x01\x01"
XING_OFFSETS = (36, 21, 13)  # bytes after the frame header, by MPEG version and number of channels
MAX_BYTES = 1 << 48
# Placeholders near the field's maximum, left by writers that could not seek back to fill in the length.
PLACEHOLDERS = tuple(range((1 << bits) - (1 << 16), (1 << bits) + 1) for bits in (31, 32))


def declared_bytes(head: bytes, n_bytes: int, read_at: Callable[[int, int], bytes]) -> int:
    """Minimum length of the complete file according to its container; 0 if it declares none.

    `head` is the beginning of the file, `n_bytes` its actual length, `read_at(offset, n)` reads from it.
    """
    if head[:4] in (b"RIFF", b"FORM"):
        declared = int.from_bytes(head[4:8], "little" if head[:4] == b"RIFF" else "big")
        # Not corrected by the 8 header bytes: some writers include them, some do not.
        return 0 if any(declared in values for values in PLACEHOLDERS) else declared
    if head[:4] in (b"RF64", b"BW64") and head[12:16] == b"ds64":
        declared = int.from_bytes(head[20:28], "little")
        return declared if declared < MAX_BYTES else 0
    if head[4:8] in BOXES:
        return _end_of_boxes(n_bytes, read_at)
    if head[:4] == EBML:
        return _end_of_segment(head)
    if head[: len(MXF_PARTITION)] == MXF_PARTITION:
        return _footer_position(head)
    return _end_by_xing(head)


def _end_of_boxes(n_bytes: int, read_at: Callable[[int, int], bytes]) -> int:
    """MP4 and MOV: a sequence of boxes."""
    at = 0
    while at + 8 <= n_bytes:
        header = read_at(at, 16)
        length = int.from_bytes(header[:4], "big")
        if length == 1 and len(header) == 16:
            length = int.from_bytes(header[8:], "big")
        if length < 8:  # 0 means up to the end of the file; other values are no box
            break
        at += length
    return at


def _end_of_segment(head: bytes) -> int:
    """Matroska and WebM: an EBML header followed by one segment."""
    length, at = _vint(head, 4)
    at += length
    if head[at : at + 4] != SEGMENT:
        return 0
    length, begin = _vint(head, at + 4)
    is_unknown = length == (1 << 7 * (begin - at - 4)) - 1  # all ones means unknown: a live stream
    return 0 if is_unknown else begin + length


def _vint(head: bytes, at: int) -> tuple[int, int]:
    """Return an EBML variable-length integer and the position after it."""
    first = head[at] if at < len(head) else 0
    n_bytes = 9 - first.bit_length()
    return int.from_bytes(head[at : at + n_bytes], "big") & ((1 << 7 * n_bytes) - 1), at + n_bytes


def _footer_position(head: bytes) -> int:
    """MXF: the header partition holds the position of the footer partition; 0 if it was unknown."""
    at = 17 + (head[16] & 0x7F if len(head) > 16 and head[16] & 0x80 else 0)
    begin = int.from_bytes(head[at + 24 : at + 32], "big")
    return begin + 1 if begin else 0


def _end_by_xing(head: bytes) -> int:
    """MP3: the first frame may hold a Xing header with the number of bytes from there on."""
    for mark in (b"Xing", b"Info"):
        at = head.find(mark)
        is_in_frame = any(
            at >= offset and head[at - offset] == 0xFF and head[at - offset + 1] & 0xE0 == 0xE0
            for offset in XING_OFFSETS
        )
        if at >= 0 and is_in_frame:
            flags = int.from_bytes(head[at + 4 : at + 8], "big")
            if flags & 2:
                counted = at + 8 + 4 * (flags & 1)
                return at - max(XING_OFFSETS) + int.from_bytes(head[counted : counted + 4], "big")
    return 0
