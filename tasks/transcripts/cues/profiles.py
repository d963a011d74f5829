"""Broadcasters' subtitle guidelines as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from tasks.transcripts.text import display_width, primary_language


class ReadingUnit(StrEnum):
    WORD = "word"
    CHARACTER = "character"
    COLUMN = "column"  # half a Chinese or Japanese character


@dataclass(frozen=True, slots=True)
class ReadingSpeed:
    """Reading speed in words, characters or columns per minute: the target and the maximum."""

    unit: ReadingUnit
    comfortable_per_min: int
    max_per_min: int

    def min_reading_ms(self, words: Sequence[str]) -> int:
        return self._ms(words, self.max_per_min)

    def comfortable_reading_ms(self, words: Sequence[str]) -> int:
        return self._ms(words, self.comfortable_per_min)

    def _ms(self, words: Sequence[str], per_min: int) -> int:
        """Return the reading time, rounded up. Characters include the space after each word."""
        if self.unit is ReadingUnit.WORD:
            n_units = len(words)
        elif self.unit is ReadingUnit.CHARACTER:
            n_units = len(words) + sum(len(word) for word in words)
        else:
            n_units = sum(display_width(word) for word in words)
        return -(-n_units * 60_000 // per_min)


@dataclass(frozen=True, slots=True)
class _Script:
    """Line width and reading speed for a script without spaces between words."""

    line_width: int
    reading_speed: ReadingSpeed


def _columns(comfortable_per_s: int, max_per_s: int) -> ReadingSpeed:
    return ReadingSpeed(ReadingUnit.COLUMN, 60 * comfortable_per_s, 60 * max_per_s)


# Netflix's language guides, used for both profiles since the BBC has none. Characters per line, per second, and per
# second in SDH (verbatim): Chinese 16, 9, 11; Japanese 13, 4, 7; Thai 35, 17, 20, also for scripts without a guide. A
# Chinese or Japanese character takes two columns.
_CHINESE = _Script(2 * 16, _columns(2 * 9, 2 * 11))
_JAPANESE = _Script(2 * 13, _columns(2 * 4, 2 * 7))
_THAI = _Script(35, _columns(17, 20))
_SCRIPTS = {"zh": _CHINESE, "yue": _CHINESE, "ja": _JAPANESE} | dict.fromkeys(("bo", "km", "lo", "my", "th"), _THAI)


@dataclass(frozen=True, slots=True)
class CueProfile:
    """Limits of a cue of at most two lines. Widths are in columns (`text.display_width`).

    `coloured_line_width` applies to speakers who are not white: on teletext the colour code takes a cell.
    """

    name: str
    line_width: int
    coloured_line_width: int
    reading_speed: ReadingSpeed
    min_duration_ms: int
    max_duration_ms: int
    min_gap_ms: int  # between two cues
    max_closed_gap_ms: int  # a gap up to this long would flicker: the cue is extended to `min_gap_ms` before the next
    max_hold_ms: int  # a cue stays at most this long after its last word

    def in_language(self, language: str) -> CueProfile:
        """Return the profile for a language; it differs only for scripts without spaces between words."""
        script = _SCRIPTS.get(primary_language(language))
        if script is None:
            return self
        return replace(
            self,
            line_width=min(self.line_width, script.line_width),
            coloured_line_width=min(self.coloured_line_width, script.line_width),
            reading_speed=script.reading_speed,
        )

    def end_ms(self, done_ms: int, next_ms: int) -> int:
        """Return the end of a cue that may end at `done_ms` and is followed by one at `next_ms`: closes short gaps."""
        return next_ms - self.min_gap_ms if done_ms > next_ms - self.max_closed_gap_ms else done_ms


# BBC Subtitle Guidelines: 37 fixed-pitch characters, 36 in colour; 160 to 180 words per minute; no gap below 1 s; at
# most 1.5 s on screen after speech. They give no minimum or maximum duration: 1 s is teletext practice, 7 s the limit
# of the other profile.
BBC = CueProfile(
    name="bbc-37",
    line_width=37,
    coloured_line_width=36,
    reading_speed=ReadingSpeed(ReadingUnit.WORD, comfortable_per_min=160, max_per_min=180),
    min_duration_ms=1_000,
    max_duration_ms=7_000,
    min_gap_ms=0,
    max_closed_gap_ms=1_000,
    max_hold_ms=1_500,
)

# Netflix Timed Text Style Guide: 42 characters; 17 per second; 5/6 s to 7 s; 2 frames between cues (at 25 frames per
# second), gaps below 0.5 s closed to 2 frames; at most 0.5 s after speech.
STREAMING = CueProfile(
    name="streaming-42",
    line_width=42,
    coloured_line_width=42,
    reading_speed=ReadingSpeed(ReadingUnit.CHARACTER, comfortable_per_min=17 * 60, max_per_min=17 * 60),
    min_duration_ms=833,
    max_duration_ms=7_000,
    min_gap_ms=80,
    max_closed_gap_ms=500,
    max_hold_ms=500,
)

PROFILES = {profile.name: profile for profile in (BBC, STREAMING)}
