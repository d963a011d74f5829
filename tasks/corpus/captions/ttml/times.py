"""Parse time expressions (TTML2, 12.3 and appendix I): clock times, frames, drop-frame time code, ticks, offsets.

ttconv's parser is not used: it ignores the parameters of DFXP's older namespaces, accepts only one spelling of
`frameRateMultiplier`, and rejects drop-frame time code if the multiplier is missing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

NTSC = Fraction(1000, 1001)
_MAX_RATE = 10**10
_ROUNDING = Fraction(1, 100)
# Standard: two digits each, a point before the fraction. Exporters also write one digit, no hours, or a comma.
_CLOCK = re.compile(r"(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2})(?:[.,](\d{1,15}))?")
_FRAMES = re.compile(r"(\d{1,4})[:;](\d{1,2})[:;](\d{1,2})([:;])(\d{1,4})(?:\.(\d{1,4}))?")
_UNITS_S = {"h": Fraction(3600), "m": Fraction(60), "s": Fraction(1), "ms": Fraction(1, 1000)}
_OFFSET = re.compile(r"(\d{1,15}(?:\.\d{1,15})?)(h|ms|m|s|f|t)")
_DECIMAL = re.compile(r"\d{1,10}(?:\.\d{1,10})?")
_MULTIPLIER = re.compile(r"(\d{1,9})(?:(?:\s*+[:/]\s*+|\s++)(\d{1,9}))?")


@dataclass(frozen=True)
class TimeExpressions:
    """The parameters that time expressions depend on."""

    frame_rate: Fraction = Fraction(30)
    """Frames per second of real time: 30000/1001 for NTSC video."""
    labels_per_s: int = 30
    """Frame labels per second of time code."""
    sub_frame_rate: int = 1
    tick_rate: Fraction = Fraction(1)
    is_time_code: bool = False
    """Whether clock times are labels of frames (time base `smpte`)."""
    drop_mode: str = "nonDrop"

    @classmethod
    def of_document(cls, root: Element) -> TimeExpressions:
        """Read the parameters of a document. Raises ValueError if one is invalid."""
        # By local name: DFXP's parameters are in namespaces of 2006, and some exporters use none.
        named = {name.rpartition("}")[2]: value.strip() for name, value in root.attrib.items() if isinstance(name, str)}
        nominal = _rate(named.get("frameRate", "30"), "frameRate")
        multiplier = _multiplier(named.get("frameRateMultiplier", "1"))
        drop_mode = named.get("dropMode", "nonDrop")
        rate = nominal * multiplier
        labels_per_s = max(1, round(nominal))
        if nominal.denominator != 1 and abs(nominal - labels_per_s * NTSC) < _ROUNDING:
            rate = labels_per_s * NTSC  # "29.97" and "23.976": invalid, but common
        elif drop_mode != "nonDrop" and multiplier == 1:
            rate *= NTSC  # drop-frame counting exists only at 29.97 and 59.94 frames per second
        sub_frame_rate = int(_rate(named.get("subFrameRate", "1"), "subFrameRate"))
        default_ticks = rate * sub_frame_rate if "frameRate" in named else Fraction(1)
        return cls(
            frame_rate=rate,
            labels_per_s=labels_per_s,
            sub_frame_rate=max(1, sub_frame_rate),
            tick_rate=_rate(named["tickRate"], "tickRate") if "tickRate" in named else default_ticks,
            is_time_code=named.get("timeBase") == "smpte",
            drop_mode=drop_mode,
        )

    @property
    def label_second_s(self) -> float:
        """Average duration of a second of time code in real seconds."""
        if not self.is_time_code:
            return 1.0
        dropped = 1 if self.drop_mode == "nonDrop" else Fraction(999, 1000)
        return float(self.labels_per_s / self.frame_rate * dropped)

    def seconds(self, expression: str) -> Fraction:
        """Convert a time expression to seconds. Raises ValueError if it is not one."""
        text = expression.strip()
        if match := _OFFSET.fullmatch(text):
            number, metric = Fraction(match[1]), match[2]
            if metric in _UNITS_S:
                return number * _UNITS_S[metric]
            return number / (self.frame_rate if metric == "f" else self.tick_rate)
        if match := _FRAMES.fullmatch(text):
            hours, minutes, seconds, frames = (int(match[group]) for group in (1, 2, 3, 5))
            _check(minutes, seconds, expression)
            # A frame number beyond the rate is a typing error: use the second's last frame.
            count = Fraction(min(frames, max(0, self.labels_per_s - 1)))
            count += Fraction(int(match[6] or 0), self.sub_frame_rate)
            return self._frames(hours, minutes, seconds, count, is_semicolon=match[4] == ";")
        if match := _CLOCK.fullmatch(text):
            hours, minutes, seconds = int(match[1] or 0), int(match[2]), int(match[3])
            _check(minutes, seconds, expression)
            return (hours * 60 + minutes) * 60 + seconds + Fraction(f"0.{match[4] or 0}")
        raise ValueError(f"{expression[:40]!r} is not a time")

    def _frames(self, hours: int, minutes: int, seconds: int, frames: Fraction, *, is_semicolon: bool) -> Fraction:
        whole_s = (hours * 60 + minutes) * 60 + seconds
        if not self.is_time_code and not is_semicolon:
            return whole_s + frames / self.frame_rate
        n_frames = whole_s * self.labels_per_s + frames - self._n_dropped(hours, minutes, is_semicolon=is_semicolon)
        return n_frames / self.frame_rate

    def _n_dropped(self, hours: int, minutes: int, *, is_semicolon: bool) -> int:
        """Return the number of labels dropped before that time (TTML2, appendix I.2)."""
        # A semicolon marks drop-frame time code, even if the document does not declare its drop mode.
        is_ntsc = self.drop_mode == "dropNTSC" or (
            is_semicolon and self.drop_mode == "nonDrop" and self.frame_rate < self.labels_per_s
        )
        per_30 = max(1, self.labels_per_s // 30)
        if is_ntsc:
            return (hours * 54 + minutes - minutes // 10) * 2 * per_30
        if self.drop_mode == "dropPAL":
            return (hours * 27 + minutes // 2 - minutes // 20) * 4 * per_30
        return 0


def _check(minutes: int, seconds: int, expression: str) -> None:
    if minutes > 59 or seconds > 59:
        raise ValueError(f"{expression[:40]!r} has more than 59 minutes or seconds")


def _rate(text: str, name: str) -> Fraction:
    rate = Fraction(text) if _DECIMAL.fullmatch(text) else Fraction(0)
    if not 0 < rate <= _MAX_RATE:
        raise ValueError(f"{name}={text[:40]!r} is not a rate")
    return rate


def _multiplier(text: str) -> Fraction:
    match = _MULTIPLIER.fullmatch(text)
    if not match or not int(match[1]) or not int(match[2] or 1):
        raise ValueError(f"frameRateMultiplier={text[:40]!r} is not a pair of numbers")
    return Fraction(int(match[1]), int(match[2] or 1))
