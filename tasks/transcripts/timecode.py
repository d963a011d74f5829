"""SMPTE time code (ST 12-1): milliseconds of the media as hours, minutes, seconds and frames of its tape."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Literal

FrameRate = Literal["23.976", "24", "25", "29.97", "30"]

TIMECODE_PATTERN = r"^([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9][:;][0-2][0-9]$"

_FRAMES_PER_S: dict[FrameRate, Fraction] = {
    "23.976": Fraction(24000, 1001),
    "24": Fraction(24),
    "25": Fraction(25),
    "29.97": Fraction(30000, 1001),
    "30": Fraction(30),
}


@dataclass(frozen=True, slots=True)
class Timecode:
    """One label: hours, minutes, seconds and frames."""

    hours: int
    minutes: int
    seconds: int
    frames: int
    is_drop_frame: bool = False

    def __str__(self) -> str:
        mark = ";" if self.is_drop_frame else ":"
        return f"{self.hours:02d}:{self.minutes:02d}:{self.seconds:02d}{mark}{self.frames:02d}"

    @property
    def digits(self) -> str:
        """HHMMSSFF, as EBU STL writes it."""
        return f"{self.hours:02d}{self.minutes:02d}{self.seconds:02d}{self.frames:02d}"


@dataclass(frozen=True)
class Clock:
    """The media's time code: what it counts, and what it reads at the media's first frame.

    Drop-frame counting (labels 00 and 01 left out at each minute that is no multiple of ten) keeps 29.97
    frames a second near the clock on the wall; it is in force when the start is written with a semicolon.
    """

    start: str = "00:00:00:00"
    rate: FrameRate = "25"

    def __post_init__(self) -> None:
        if not re.match(TIMECODE_PATTERN, self.start) or int(self.start[-2:]) >= self.frames_per_label_s:
            raise ValueError(f"{self.start!r} is no time code HH:MM:SS:FF at {self.rate} frames a second")
        if self.is_drop_frame and self.rate != "29.97":
            raise ValueError(f"{self.start!r} is drop-frame, which only 29.97 frames a second have")

    @property
    def is_drop_frame(self) -> bool:
        return self.start[-3] == ";"

    @cached_property
    def frames_per_label_s(self) -> int:
        """Frames counted in one second of labels: 30 for 29.97."""
        return round(_FRAMES_PER_S[self.rate])

    @property
    def _frames_per_day(self) -> int:
        return 2_589_408 if self.is_drop_frame else 86_400 * self.frames_per_label_s

    @cached_property
    def start_frame(self) -> int:
        """Frames from midnight to the media's first frame."""
        hours, minutes, seconds, frames = (int(part) for part in re.split("[:;]", self.start))
        total_minutes = 60 * hours + minutes
        count = (60 * total_minutes + seconds) * self.frames_per_label_s + frames
        return count - 2 * (total_minutes - total_minutes // 10) if self.is_drop_frame else count

    def at(self, time_ms: int) -> Timecode:
        """The label of the frame nearest to `time_ms` of the media; past midnight it starts again at zero."""
        rate = _FRAMES_PER_S[self.rate]
        denominator = 1000 * rate.denominator
        n_frames = (2 * time_ms * rate.numerator + denominator) // (2 * denominator)
        return self._label((self.start_frame + n_frames) % self._frames_per_day)

    def _label(self, frame: int) -> Timecode:
        if self.is_drop_frame:
            # Ten minutes hold 17,982 frames: one minute of 1,800 labels and nine of 1,798.
            tens, rest = divmod(frame, 17_982)
            frame += 18 * tens + 2 * max(0, (rest - 2) // 1_798)
        seconds, frames = divmod(frame, self.frames_per_label_s)
        minutes, seconds = divmod(seconds, 60)
        hours, minutes = divmod(minutes, 60)
        return Timecode(hours, minutes, seconds, frames, self.is_drop_frame)
