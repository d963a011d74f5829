"""SMPTE time code (ST 12-1): media times in milliseconds to hours, minutes, seconds and frames."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Literal

FrameRate = Literal["23.976", "24", "25", "29.97", "30", "50", "59.94", "60"]

TIMECODE_PATTERN = r"^([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9][:;][0-5][0-9]$"

_FRAMES_PER_S: dict[FrameRate, Fraction] = {
    "23.976": Fraction(24000, 1001),
    "24": Fraction(24),
    "25": Fraction(25),
    "29.97": Fraction(30000, 1001),
    "30": Fraction(30),
    "50": Fraction(50),
    "59.94": Fraction(60000, 1001),
    "60": Fraction(60),
}
_HALVES: dict[FrameRate, FrameRate] = {"50": "25", "59.94": "29.97", "60": "30"}
_DROP_FRAME_RATES = ("29.97", "59.94")
# Headers are rounded: "23.98" is 23.976.
_RATE_TOLERANCE = Fraction(5, 1000)


def frame_rate_of(frames_per_s: float) -> FrameRate | None:
    """Return the broadcast name of a frame rate; None if no time code has that rate."""
    near = (rate for rate, exact in _FRAMES_PER_S.items() if abs(exact - Fraction(frames_per_s)) < _RATE_TOLERANCE)
    return next(near, None)


@dataclass(frozen=True, slots=True)
class Timecode:
    """A time-code label: hours, minutes, seconds and frames."""

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
        """HHMMSSFF, as in EBU STL."""
        return f"{self.hours:02d}{self.minutes:02d}{self.seconds:02d}{self.frames:02d}"


@dataclass(frozen=True)
class Clock:
    """The media's time code: its frame rate, and the label of the first frame.

    Drop-frame counting skips labels 00 and 01 (00 to 03 at 59.94) of each minute that is not a multiple of ten, which
    keeps 29.97 frames per second close to real time. A semicolon in the start selects it.
    """

    start: str = "00:00:00:00"
    rate: FrameRate = "25"

    def __post_init__(self) -> None:
        if not re.match(TIMECODE_PATTERN, self.start) or int(self.start[-2:]) >= self.frames_per_label_s:
            raise ValueError(f"{self.start!r} is not a time code HH:MM:SS:FF at {self.rate} frames per second")
        if self.is_drop_frame and self.rate not in _DROP_FRAME_RATES:
            raise ValueError(f"{self.start!r} is drop-frame, which only 29.97 and 59.94 frames per second have")

    @classmethod
    def after_midnight(cls, seconds: float, rate: FrameRate = "25") -> Clock:
        """Return a non-drop-frame clock that starts at the frame nearest to `seconds` after midnight."""
        return cls(str(cls("00:00:00:00", rate).at(round(1000 * seconds))), rate)

    @property
    def halved(self) -> Clock:
        """This clock with a label for every second frame if it has more than 30 per second, else itself."""
        if self.rate not in _HALVES:
            return self
        return Clock(f"{self.start[:-2]}{int(self.start[-2:]) // 2:02d}", _HALVES[self.rate])

    @property
    def is_drop_frame(self) -> bool:
        return self.start[-3] == ";"

    @cached_property
    def frames_per_label_s(self) -> int:
        """Labels per second: 30 at 29.97 frames per second."""
        return round(_FRAMES_PER_S[self.rate])

    @property
    def _frames_per_day(self) -> int:
        if self.is_drop_frame:
            return 86_400 * self.frames_per_label_s - 24 * 54 * self._n_dropped
        return 86_400 * self.frames_per_label_s

    @property
    def _n_dropped(self) -> int:
        """Labels dropped at a minute."""
        return self.frames_per_label_s // 15

    @cached_property
    def start_frame(self) -> int:
        """Frame count from midnight to the media's first frame."""
        hours, minutes, seconds, frames = (int(part) for part in re.split("[:;]", self.start))
        total_minutes = 60 * hours + minutes
        count = (60 * total_minutes + seconds) * self.frames_per_label_s + frames
        return count - self._n_dropped * (total_minutes - total_minutes // 10) if self.is_drop_frame else count

    def at(self, time_ms: int) -> Timecode:
        """Return the label of the frame nearest to the media time `time_ms`. Wraps around at midnight."""
        rate = _FRAMES_PER_S[self.rate]
        denominator = 1000 * rate.denominator
        n_frames = (2 * time_ms * rate.numerator + denominator) // (2 * denominator)
        return self._label((self.start_frame + n_frames) % self._frames_per_day)

    def _label(self, frame: int) -> Timecode:
        if self.is_drop_frame:
            # At 29.97 ten minutes hold 17,982 frames: one minute of 1,800 labels and nine of 1,798.
            n_dropped, minute = self._n_dropped, 60 * self.frames_per_label_s
            tens, rest = divmod(frame, 10 * minute - 9 * n_dropped)
            frame += n_dropped * (9 * tens + max(0, (rest - n_dropped) // (minute - n_dropped)))
        seconds, frames = divmod(frame, self.frames_per_label_s)
        minutes, seconds = divmod(seconds, 60)
        hours, minutes = divmod(minutes, 60)
        return Timecode(hours, minutes, seconds, frames, self.is_drop_frame)
