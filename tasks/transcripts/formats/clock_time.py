"""Milliseconds as the times that formats write, by integers alone."""

from __future__ import annotations


def hours_to_milliseconds(time_ms: int, mark: str = ".") -> str:
    """HH:MM:SS.mmm; the hours have more digits past 99."""
    seconds, milliseconds = divmod(time_ms, 1_000)
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}{mark}{milliseconds:03d}"


def seconds(time_ms: int) -> str:
    """Seconds with three decimals."""
    return f"{time_ms // 1_000}.{time_ms % 1_000:03d}"
