"""Timing lines of SubRip and WebVTT, as tools write and people type them.

SubRip has no standard. Accepted: no hours; no fraction or one of any length, after a comma, point, colon or semicolon;
spaces around the separators; a number before the times; arrows of other dashes. Two digits after a third colon count
frames.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

MAX_LINE = 300  # characters; a timing line with cue settings has fewer than 100
MAX_NUMBER_DIGITS = 9
FRAME_RATES = (25, 30, 50, 60)

_ARROW_HEAD = re.compile("[>›→➔⟶]")
_ARROW = r"(?:[-–—=](?:\s?[-–—=]){0,2}\s?[>›]|[→➔⟶])"
_TIME = r"(?:(\d{1,3})\s?:\s?)?(\d{1,2})\s?:\s?(\d{1,2})(?:\s?([.,:;])\s?(\d{0,9}))?"
_NUMBER = r"(?:\d{1,6}[.)]?\s{1,4})?"  # of the cue, where its line break is lost
_TIMING = re.compile(rf"{_NUMBER}{_TIME}\s{{0,8}}{_ARROW}\s{{0,8}}{_TIME}(?:\s+(\S.*))?")
_LEFT = re.compile(rf"{_NUMBER}{_TIME}")
_RIGHT = re.compile(rf"{_TIME}(?!\S)")
# Damaged times: OCR writes letters for digits, an editor overwrites some.
_TIME_LIKE = re.compile(r"[\dOoIlB]{1,3}\s?[:.]\s?[\dOoIlB]{1,2}")
_SETTING = re.compile(r"[A-Za-z][\w-]{0,20}:\S{1,80}")  # line:85%, position:10%,line-left, X1:40
_INVISIBLE = " \t\u00a0\ufeff\u200b\u200e\u200f"


@dataclass(frozen=True)
class Timing:
    """A timing line. A time is None where it cannot be read."""

    start_s: float | None
    end_s: float | None
    settings: str = ""
    text: str = ""
    """Text after the times on the same line, other than settings."""


def parse_timing(line: str, before: str, frame_rate: int | None) -> Timing | None:
    """Return the timing of a line, None if it is text. `before` is the line above it.

    An arrow alone does not make a timing line: "-->" also occurs in texts.
    """
    if not _ARROW_HEAD.search(line) or len(line) > MAX_LINE:
        return None
    line = line.strip(_INVISIBLE)
    if match := _TIMING.fullmatch(line):
        rest = match.group(11) or ""
        settings, text = (rest, "") if _are_settings(rest) else ("", rest)
        return Timing(
            _seconds(match.groups()[:5], frame_rate), _seconds(match.groups()[5:10], frame_rate), settings, text
        )
    return _parse_damaged(line, before.strip(_INVISIBLE), frame_rate)


def cue_number(line: str) -> int | None:
    """Return the cue number that the line consists of, or None."""
    line = line.strip(_INVISIBLE)
    return int(line) if line.isdecimal() and len(line) <= MAX_NUMBER_DIGITS else None


def frame_rate_of(lines: Iterable[str]) -> int | None:
    """Return the frame rate of times such as 00:00:01:12, None if there are none with frames.

    It is the lowest usual rate that fits all frame numbers. At a higher one, the times would differ by less than 0.1 s.
    """
    highest = -1
    for line in lines:
        if ">" in line and len(line) <= MAX_LINE and (match := _TIMING.fullmatch(line.strip(_INVISIBLE))):
            for separator, fraction in (match.group(4, 5), match.group(9, 10)):
                if separator in (":", ";") and len(fraction) == 2:
                    highest = max(highest, int(fraction))
    return next((rate for rate in FRAME_RATES if 0 <= highest < rate), None)


def _parse_damaged(line: str, before: str, frame_rate: int | None) -> Timing | None:
    """Parse a timing line with an unreadable time: an arrow, something like a time, and no words before it."""
    arrow = re.search(_ARROW, line)
    if not arrow:
        return None
    left, right = line[: arrow.start()].strip(), line[arrow.end() :].strip()
    if not (_TIME_LIKE.search(left) or _TIME_LIKE.match(right)):
        return None
    is_at_start = not left or re.match(r"\W{0,3}\w?\d", left) or _TIME_LIKE.match(left)
    if not is_at_start and not (not before or before.isdecimal()):
        return None
    start, end = _LEFT.fullmatch(left), _RIGHT.match(right)
    return Timing(
        _seconds(start.groups(), frame_rate) if start else None, _seconds(end.groups(), frame_rate) if end else None
    )


def _seconds(time: tuple[str | Any, ...], frame_rate: int | None) -> float:
    """Convert the groups of `_TIME` to seconds."""
    hours, minutes, seconds, separator, fraction = time
    whole_s = (int(hours or 0) * 60 + int(minutes)) * 60 + int(seconds)
    if not fraction:
        return float(whole_s)
    if frame_rate and separator in (":", ";") and len(fraction) == 2:
        return round(whole_s + int(fraction) / frame_rate, 3)
    return round(whole_s + int(fraction) / 10 ** len(fraction), 3)


def _are_settings(rest: str) -> bool:
    return all(_SETTING.fullmatch(token) for token in rest.split())
