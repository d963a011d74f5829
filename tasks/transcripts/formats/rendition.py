"""The common input of all formats: a transcript, and what several formats derive from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from tasks.transcripts.colours import Colour, speaker_colours
from tasks.transcripts.cues.cutting import Cue, cut
from tasks.transcripts.cues.profiles import BBC, CueProfile
from tasks.transcripts.document import Segment, Transcript, Word
from tasks.transcripts.reading_order import in_reading_order
from tasks.transcripts.text import join
from tasks.transcripts.timecode import Clock

_PARAGRAPH_PAUSE_MS = 2_000
_PARAGRAPH_WORDS = 80


@dataclass(frozen=True)
class Paragraph:
    """Consecutive segments of one speaker, for text formats."""

    start_ms: int
    end_ms: int
    speaker: str | None
    suspect: bool
    words: tuple[Word, ...]


@dataclass(frozen=True)
class Rendition:
    """A transcript with a cue profile. Derived values are computed once."""

    transcript: Transcript
    profile: CueProfile = BBC

    @cached_property
    def cues(self) -> tuple[Cue, ...]:
        return cut(self.transcript, self.profile)

    @cached_property
    def clock(self) -> Clock:
        return self.transcript.media.clock

    @cached_property
    def colours(self) -> dict[str, Colour]:
        return speaker_colours(self.transcript)

    @cached_property
    def speaker_names(self) -> dict[str, str]:
        """Display names; "Speaker 1", "Speaker 2" for speakers without a name."""
        speakers = enumerate(self.transcript.speakers, start=1)
        return {speaker.id: speaker.name or f"Speaker {number}" for number, speaker in speakers}

    def colour(self, speaker: str | None) -> Colour:
        return self.colours.get(speaker or "", Colour.WHITE)

    def coloured_lines(self, cue: Cue) -> tuple[str, ...]:
        """Return the cue's lines for a format with colours: a dialogue needs dashes only if its colours are equal."""
        are_distinct = len({self.colour(line.speaker) for line in cue.lines}) == len(cue.lines)
        return tuple(line.text for line in cue.lines) if are_distinct else cue.dashed_lines()

    def join(self, words: Iterable[Word]) -> str:
        return join((word.text for word in words), self.transcript.language)

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """The segments in the order in which they are read."""
        return in_reading_order(self.transcript)

    @cached_property
    def paragraphs(self) -> tuple[Paragraph, ...]:
        """Paragraphs: a new one at a new speaker, a long pause, a change of `suspect`, or after enough words.
        Where voices overlap, each one's phrases stand together."""
        paragraphs: list[Paragraph] = []
        for segment in self.segments:
            paragraph = paragraphs[-1] if paragraphs else None
            if (
                paragraph is not None
                and paragraph.speaker == segment.speaker
                and paragraph.suspect == segment.suspect
                and segment.start_ms - paragraph.end_ms < _PARAGRAPH_PAUSE_MS
                and len(paragraph.words) < _PARAGRAPH_WORDS
            ):
                words = paragraph.words + segment.words
                paragraphs[-1] = Paragraph(
                    paragraph.start_ms, max(paragraph.end_ms, segment.end_ms), segment.speaker, segment.suspect, words
                )
                continue
            paragraphs.append(
                Paragraph(segment.start_ms, segment.end_ms, segment.speaker, segment.suspect, segment.words)
            )
        return tuple(paragraphs)
