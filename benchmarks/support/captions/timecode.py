"""Time code (SMPTE ST 12-1): frame numbers as hours, minutes, seconds and frames."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class FrameRate:
    """Frames per second, and how they are counted."""

    labels_per_s: int
    is_ntsc: bool = False
    """1000/1001 of the labels' rate."""
    is_drop: bool = False
    multiplier: Fraction = Fraction(1000, 1001)

    @property
    def per_s(self) -> Fraction:
        return self.labels_per_s * self.multiplier if self.is_ntsc else Fraction(self.labels_per_s)

    def frame(self, ms: int) -> int:
        """The frame nearest to a time."""
        return round(ms * self.per_s / 1000)

    def label(self, frame: int) -> str:
        """The label of a frame: `01:00:00:00`, with a semicolon before the frames if labels are dropped."""
        if self.is_drop:
            tens, rest = divmod(frame, 17982)
            frame += 18 * tens + (2 * ((rest - 2) // 1798) if rest > 1 else 0)
        seconds, frames = divmod(frame, self.labels_per_s)
        clock = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
        return f"{clock}{';' if self.is_drop else ':'}{frames:02d}"

    def first_frame(self, hours: int) -> int:
        """The frame that is labelled as the start of an hour."""
        return hours * (107892 if self.is_drop else 3600 * self.labels_per_s)


PAL = FrameRate(25)
NTSC = FrameRate(30, is_ntsc=True)
NTSC_DROP = FrameRate(30, is_ntsc=True, is_drop=True)
FILM = FrameRate(24, is_ntsc=True)
