"""Subtitles: a transcript's words as cues of one or two lines, timed for reading, by a broadcaster's rules.

The words stay as they are, all of them and in their order: a recogniser's transcript is not edited down. So
where people talk faster than a rule allows, or pronounce a word wider than a line, the cue says which limit
it breaks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from tasks.transcripts.colours import Colour, speaker_colours
from tasks.transcripts.cues.layout import DASH, Block, best_blocks
from tasks.transcripts.cues.profiles import BBC, CueProfile
from tasks.transcripts.document import Transcript, Word
from tasks.transcripts.text import display_width, join

# One frame at 23.976 a second, the slowest rate, rounded up: shorter cues vanish in formats with frames.
FRAME_MS = 42


class Limit(StrEnum):
    """A limit of the profile that a cue does not keep."""

    LINE_WIDTH = "line_width"  # one word is wider than a line
    READING_SPEED = "reading_speed"
    SHORTEST = "shortest"
    LONGEST = "longest"
    SYNC = "sync"  # shown later than its first word, to let the cue before it be seen


@dataclass(frozen=True, slots=True)
class Line:
    speaker: str | None
    words: tuple[Word, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Cue:
    """One or two lines on screen from `start_ms` until, not including, `end_ms`. Cues never overlap."""

    start_ms: int
    end_ms: int
    lines: tuple[Line, ...]
    exceeds: tuple[Limit, ...] = ()

    @property
    def words(self) -> tuple[Word, ...]:
        return tuple(word for line in self.lines for word in line.words)

    @property
    def is_dialogue(self) -> bool:
        """Whether each line is another's speech."""
        return len(self.lines) == 2 and self.lines[0].speaker != self.lines[1].speaker

    def dashed(self) -> tuple[str, ...]:
        """The lines' text; in a dialogue with a dash before each."""
        return tuple((DASH if self.is_dialogue else "") + line.text for line in self.lines)


def cut(transcript: Transcript, profile: CueProfile = BBC) -> tuple[Cue, ...]:
    """The transcript's cues. Ends, unlike starts, may pass the end of the media by the time reading takes."""
    profile = profile.in_language(transcript.language)
    words = tuple(transcript.words)
    voices = [word.speaker or segment.speaker for segment in transcript.segments for word in segment.words]
    coloured = {name for name, colour in speaker_colours(transcript).items() if colour is not Colour.WHITE}
    widths = {voice: profile.coloured_line_width if voice in coloured else profile.line_width for voice in set(voices)}
    blocks = best_blocks(words, voices, [widths[voice] for voice in voices], transcript.language, profile)
    spans = _times(words, blocks, profile)
    cues = []
    for block, (start_ms, end_ms) in zip(blocks, spans, strict=True):
        bounds = [(block.first, block.second), (block.second, block.end)]
        lines = tuple(
            Line(voices[first], words[first:end], join((w.text for w in words[first:end]), transcript.language))
            for first, end in bounds
            if first < end
        )
        exceeds = _exceeded(lines, start_ms, end_ms, [widths[line.speaker] for line in lines], profile)
        cues.append(Cue(start_ms, end_ms, lines, exceeds))
    return tuple(cues)


def _times(words: Sequence[Word], blocks: Sequence[Block], profile: CueProfile) -> list[tuple[int, int]]:
    """From the first word, as long as reading takes or until the next cue; short gaps are closed."""
    speed, texts = profile.reading_speed, [word.text for word in words]
    starts_ms: list[int] = []
    for block in blocks:
        earliest_ms = starts_ms[-1] + FRAME_MS if starts_ms else 0
        starts_ms.append(max(words[block.first].start_ms, earliest_ms))
    spans = []
    for index, block in enumerate(blocks):
        start_ms, spoken_ms = starts_ms[index], words[block.end - 1].end_ms
        read_ms = max(speed.comfortable_ms(texts[block.first : block.end]), profile.shortest_ms)
        latest_ms = min(start_ms + min(read_ms, profile.longest_ms), spoken_ms + profile.linger_ms)
        end_ms = done_ms = max(spoken_ms, latest_ms)
        if index + 1 < len(blocks):
            next_ms = starts_ms[index + 1]
            end_ms = profile.end_ms(done_ms, next_ms)
            if end_ms > start_ms + profile.longest_ms:
                # Too long to wait for the next: it goes early enough for a gap that does not flicker.
                end_ms = profile.end_ms(max(spoken_ms, min(done_ms, next_ms - profile.closed_gap_ms)), next_ms)
        # Where words crowd, the gap goes before the cue does.
        spans.append((start_ms, max(end_ms, start_ms + FRAME_MS)))
    return spans


def _exceeded(
    lines: Sequence[Line], start_ms: int, end_ms: int, widths: Sequence[int], profile: CueProfile
) -> tuple[Limit, ...]:
    words = [word for line in lines for word in line.words]
    dash = len(DASH) if len(lines) == 2 and lines[0].speaker != lines[1].speaker else 0
    shown_ms = end_ms - start_ms
    broken = {
        Limit.LINE_WIDTH: any(
            display_width(line.text) + dash > width for line, width in zip(lines, widths, strict=True)
        ),
        Limit.READING_SPEED: profile.reading_speed.fastest_ms([word.text for word in words]) > shown_ms,
        Limit.SHORTEST: shown_ms < profile.shortest_ms,
        Limit.LONGEST: shown_ms > profile.longest_ms,
        Limit.SYNC: start_ms > words[0].start_ms,
    }
    return tuple(limit for limit, is_broken in broken.items() if is_broken)
