"""Estimate a medium's duration from its extension and size.

Object listings have no durations. The order of magnitude is enough: it tells an hour of MP3 from an hour of MXF.
"""

from __future__ import annotations

# Typical bytes per second of media as broadcasters deliver them.
BYTES_PER_S = {
    ".wav": 192_000,  # 48 kHz, 16 bit, stereo
    ".aif": 192_000,
    ".aiff": 192_000,
    ".flac": 100_000,
    ".mp3": 24_000,
    ".m4a": 16_000,
    ".aac": 16_000,
    ".ogg": 14_000,
    ".opus": 8_000,
    ".mp4": 600_000,
    ".m4v": 600_000,
    ".webm": 300_000,
    ".mkv": 600_000,
    ".ts": 1_000_000,
    ".mts": 2_000_000,
    ".mov": 6_000_000,
    ".mxf": 6_000_000,
}
OTHER_BYTES_PER_S = 200_000


def estimate_duration_s(extension: str, n_bytes: int) -> float:
    """Estimated duration in seconds. `extension` in lower case, with its dot."""
    return n_bytes / BYTES_PER_S.get(extension, OTHER_BYTES_PER_S)
