"""Broadcasters' rules for subtitles, as figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from tasks.transcripts.text import display_width, primary_language


class ReadingUnit(StrEnum):
    WORD = "word"
    CHARACTER = "character"
    COLUMN = "column"  # half a character of Chinese or Japanese


@dataclass(frozen=True, slots=True)
class ReadingSpeed:
    """Words, characters or columns that a viewer reads in a minute: in comfort, and at most."""

    unit: ReadingUnit
    comfortable: int
    fastest: int

    def fastest_ms(self, words: Sequence[str]) -> int:
        return self._ms(words, self.fastest)

    def comfortable_ms(self, words: Sequence[str]) -> int:
        return self._ms(words, self.comfortable)

    def _ms(self, words: Sequence[str], per_minute: int) -> int:
        """Rounded up. Characters are counted with the space after each word."""
        if self.unit is ReadingUnit.WORD:
            n_units = len(words)
        elif self.unit is ReadingUnit.CHARACTER:
            n_units = len(words) + sum(len(word) for word in words)
        else:
            n_units = sum(display_width(word) for word in words)
        return -(-n_units * 60_000 // per_minute)


@dataclass(frozen=True, slots=True)
class _Script:
    """What a line holds and a viewer reads of a script that shows no words."""

    line_width: int
    reading_speed: ReadingSpeed


def _columns(comfortable_per_s: int, fastest_per_s: int) -> ReadingSpeed:
    return ReadingSpeed(ReadingUnit.COLUMN, 60 * comfortable_per_s, 60 * fastest_per_s)


# Netflix's guides by language, for both profiles: the BBC has none. Characters a line, a second, and a second where
# all that is said is shown (SDH): Chinese 16, 9, 11; Japanese 13, 4, 7; Thai 35, 17, 20, which also serves those for
# which there is no guide. Of a character that is as wide as two the others are halves.
_CHINESE = _Script(2 * 16, _columns(2 * 9, 2 * 11))
_JAPANESE = _Script(2 * 13, _columns(2 * 4, 2 * 7))
_THAI = _Script(35, _columns(17, 20))
_SCRIPTS = {"zh": _CHINESE, "yue": _CHINESE, "ja": _JAPANESE} | dict.fromkeys(("bo", "km", "lo", "my", "th"), _THAI)


@dataclass(frozen=True, slots=True)
class CueProfile:
    """The limits of a cue of at most two lines. Widths are in columns (`text.display_width`).

    A line of a speaker who is not white has `coloured_line_width`: on teletext the colour's code takes a
    cell.
    """

    name: str
    line_width: int
    coloured_line_width: int
    reading_speed: ReadingSpeed
    shortest_ms: int
    longest_ms: int
    gap_ms: int  # at least this long nothing is shown between two cues
    closed_gap_ms: int  # a longer pause than `gap_ms`, but shorter than this, flickers: the cue stays on instead
    linger_ms: int  # a cue stays at most this long after its last word

    def in_language(self, language: str) -> CueProfile:
        """The profile for a language; another one only for scripts that show no words."""
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
        """When a cue that could go at `done_ms` does, with another to come at `next_ms`: short gaps are closed."""
        return next_ms - self.gap_ms if done_ms > next_ms - self.closed_gap_ms else done_ms


# BBC Subtitle Guidelines: 37 characters of fixed pitch, 36 in colour; 160 to 180 words a minute; no gap
# shorter than a second; not on screen more than a second and a half after speech. The guidelines name no
# shortest and no longest duration: one second is the custom of teletext, seven seconds the bound of the other
# profile.
BBC = CueProfile(
    name="bbc-37",
    line_width=37,
    coloured_line_width=36,
    reading_speed=ReadingSpeed(ReadingUnit.WORD, comfortable=160, fastest=180),
    shortest_ms=1_000,
    longest_ms=7_000,
    gap_ms=0,
    closed_gap_ms=1_000,
    linger_ms=1_500,
)

# Netflix Timed Text Style Guide: 42 characters; 17 a second; 5/6 of a second to 7 seconds; two frames between
# cues (at 25 frames a second), gaps under half a second closed to these; half a second after speech.
STREAMING = CueProfile(
    name="streaming-42",
    line_width=42,
    coloured_line_width=42,
    reading_speed=ReadingSpeed(ReadingUnit.CHARACTER, comfortable=17 * 60, fastest=17 * 60),
    shortest_ms=833,
    longest_ms=7_000,
    gap_ms=80,
    closed_gap_ms=500,
    linger_ms=500,
)

PROFILES = {profile.name: profile for profile in (BBC, STREAMING)}
