"""Subtitle cues from a transcript: one or two lines, timed for reading, within a broadcaster's guidelines.

Subtitles are verbatim: all words, in order; where voices overlap, each one's together. Where speech is faster than the
guidelines allow, or a word is wider than a line, the cue lists the limits that it exceeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from tasks.transcripts.colours import Colour, speaker_colours
from tasks.transcripts.cues.arrangement import arrange
from tasks.transcripts.cues.layout import DASH, Block, best_blocks
from tasks.transcripts.cues.profiles import BBC, CueProfile
from tasks.transcripts.document import Transcript, Word
from tasks.transcripts.reading_order import speakers_of_words
from tasks.transcripts.text import display_width, join

# One frame at 23.976 frames per second, the lowest rate, rounded up: shorter cues vanish in frame-based formats.
FRAME_MS = 42


class Limit(StrEnum):
    """A limit of the profile that a cue exceeds."""

    LINE_WIDTH = "line_width"  # a word is wider than a line
    READING_SPEED = "reading_speed"
    MIN_DURATION = "shortest"
    MAX_DURATION = "longest"
    SYNC = "sync"  # delayed after its first word so that the previous cue is seen


@dataclass(frozen=True, slots=True)
class Line:
    speaker: str | None
    words: tuple[Word, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Cue:
    """One or two lines on screen in [start_ms, end_ms). Cues never overlap."""

    start_ms: int
    end_ms: int
    lines: tuple[Line, ...]
    exceeds: tuple[Limit, ...] = ()

    @property
    def words(self) -> tuple[Word, ...]:
        return tuple(word for line in self.lines for word in line.words)

    @property
    def is_dialogue(self) -> bool:
        """Whether the two lines have different speakers."""
        return len(self.lines) == 2 and self.lines[0].speaker != self.lines[1].speaker

    def dashed_lines(self) -> tuple[str, ...]:
        """Return the text of the lines, with a leading dash each in a dialogue."""
        return tuple((DASH if self.is_dialogue else "") + line.text for line in self.lines)


def cut(transcript: Transcript, profile: CueProfile = BBC) -> tuple[Cue, ...]:
    """Cut a transcript into cues. Unlike starts, ends may lie after the end of the media, for reading time."""
    profile = profile.in_language(transcript.language)
    spoken_by = speakers_of_words(transcript)
    coloured = {name for name, colour in speaker_colours(transcript).items() if colour is not Colour.WHITE}
    widths = {name: profile.coloured_line_width if name in coloured else profile.line_width for name in spoken_by}
    shown = arrange([*transcript.words], spoken_by, widths, transcript.language, profile)
    words, speakers = shown.words, shown.speakers
    line_widths = [widths[name] for name in speakers]
    blocks = best_blocks(shown.timed, speakers, line_widths, transcript.language, profile, shown.breaks)
    spans = _time_cues(shown.timed, blocks, profile)
    cues = []
    for block, (start_ms, end_ms) in zip(blocks, spans, strict=True):
        bounds = [(block.first, block.second), (block.second, block.end)]
        lines = tuple(
            Line(speakers[first], words[first:end], join((w.text for w in words[first:end]), transcript.language))
            for first, end in bounds
            if first < end
        )
        exceeds = _exceeded_limits(lines, start_ms, end_ms, [widths[line.speaker] for line in lines], profile)
        cues.append(Cue(start_ms, end_ms, lines, exceeds))
    return tuple(cues)


def _time_cues(words: Sequence[Word], blocks: Sequence[Block], profile: CueProfile) -> list[tuple[int, int]]:
    """Time each cue from its first word for its reading time, at most until the next cue; close short gaps."""
    speed, texts = profile.reading_speed, [word.text for word in words]
    starts_ms: list[int] = []
    for block in blocks:
        earliest_ms = starts_ms[-1] + FRAME_MS if starts_ms else 0
        starts_ms.append(max(words[block.first].start_ms, earliest_ms))
    spans = []
    for index, block in enumerate(blocks):
        start_ms, spoken_ms = starts_ms[index], words[block.end - 1].end_ms
        read_ms = max(speed.comfortable_reading_ms(texts[block.first : block.end]), profile.min_duration_ms)
        latest_ms = min(start_ms + min(read_ms, profile.max_duration_ms), spoken_ms + profile.max_hold_ms)
        end_ms = done_ms = max(spoken_ms, latest_ms)
        if index + 1 < len(blocks):
            next_ms = starts_ms[index + 1]
            end_ms = profile.end_ms(done_ms, next_ms)
            if end_ms > start_ms + profile.max_duration_ms:
                # Closing the gap would exceed the maximum duration: end early enough for a gap that does not flicker.
                end_ms = profile.end_ms(max(spoken_ms, min(done_ms, next_ms - profile.max_closed_gap_ms)), next_ms)
        # In dense speech the gap is given up first, the cue last.
        spans.append((start_ms, max(end_ms, start_ms + FRAME_MS)))
    return spans


def _exceeded_limits(
    lines: Sequence[Line], start_ms: int, end_ms: int, widths: Sequence[int], profile: CueProfile
) -> tuple[Limit, ...]:
    words = [word for line in lines for word in line.words]
    dash = len(DASH) if len(lines) == 2 and lines[0].speaker != lines[1].speaker else 0
    shown_ms = end_ms - start_ms
    is_exceeded = {
        Limit.LINE_WIDTH: any(
            display_width(line.text) + dash > width for line, width in zip(lines, widths, strict=True)
        ),
        Limit.READING_SPEED: profile.reading_speed.min_reading_ms([word.text for word in words]) > shown_ms,
        Limit.MIN_DURATION: shown_ms < profile.min_duration_ms,
        Limit.MAX_DURATION: shown_ms > profile.max_duration_ms,
        Limit.SYNC: start_ms > min(word.start_ms for word in words),
    }
    return tuple(limit for limit, exceeded in is_exceeded.items() if exceeded)
