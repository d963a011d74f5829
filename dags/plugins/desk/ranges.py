"""Byte ranges of HTTP (RFC 9110, section 14): what a browser asks for when it jumps in a sound."""

from __future__ import annotations

import re

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def requested_range(header: str, size: int) -> range | None:
    """Return the range that a `Range` header asks for; None for all of it, also if the header is not understood.

    Several ranges at once are answered with all, as the RFC allows. A range that begins after the end is returned as it
    is: the answer is 416.
    """
    match = _RANGE.fullmatch(header.strip())
    if not match or not any(match.groups()):
        return None
    first, last = match.groups()
    if not first:
        return range(max(0, size - int(last)), size) if int(last) else range(size, size)
    end = min(int(last) + 1, size) if last else size
    start = int(first)
    return range(start, end) if start < end or start >= size else None
