"""Figures as text: plain functions, and filters of the templates."""

from __future__ import annotations

import base64


def clock(duration_s: float) -> str:
    """`1:02:03`, or `2:03` below an hour."""
    minutes, seconds = divmod(round(duration_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def number(value: float | None, digits: int = 0) -> str:
    """`12,345.6` with the given digits after the point; nothing for none."""
    return "" if value is None else f"{value:,.{digits}f}"


def percent(rate: float | None, digits: int = 2) -> str:
    """`12.34 %` for the rate 0.1234; nothing for none."""
    return "" if rate is None else f"{100 * rate:.{digits}f} %"


def share(part: float, whole: float) -> str:
    """`12.3 %` of `whole`, a dash where there is none."""
    return percent(part / whole, 1) if whole else "–"


def phrase(identifier: object) -> str:
    """A reason or an outcome as words: `done no speech`."""
    return str(identifier).replace("_", " ")


def data_uri(data: bytes, media_type: str) -> str:
    """`data` embedded in the page, which loads nothing from elsewhere."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"
