"""Formatting of milliseconds, in integer arithmetic."""

from __future__ import annotations


def hours_to_milliseconds(time_ms: int, mark: str = ".") -> str:
    """Format as HH:MM:SS.mmm; hours above 99 have more digits."""
    seconds, milliseconds = divmod(time_ms, 1_000)
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}{mark}{milliseconds:03d}"


def seconds(time_ms: int) -> str:
    """Format as seconds with three decimals."""
    return f"{time_ms // 1_000}.{time_ms % 1_000:03d}"
