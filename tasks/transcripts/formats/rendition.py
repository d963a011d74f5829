"""What formats are written from: a transcript, and what several of them need, worked out once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from tasks.transcripts.colours import Colour, speaker_colours
from tasks.transcripts.cues.cutting import Cue, cut
from tasks.transcripts.cues.profiles import BBC, CueProfile
from tasks.transcripts.document import Transcript, Word
from tasks.transcripts.text import join
from tasks.transcripts.timecode import Clock

_PARAGRAPH_PAUSE_MS = 2_000
_PARAGRAPH_WORDS = 80


@dataclass(frozen=True)
class Paragraph:
    """Consecutive segments of one speaker, for reading."""

    start_ms: int
    end_ms: int
    speaker: str | None
    suspect: bool
    words: tuple[Word, ...]


@dataclass(frozen=True)
class Rendition:
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
        """Names to show; "Speaker 1", "Speaker 2" for those who have none."""
        speakers = enumerate(self.transcript.speakers, start=1)
        return {speaker.id: speaker.name or f"Speaker {number}" for number, speaker in speakers}

    def colour(self, speaker: str | None) -> Colour:
        return self.colours.get(speaker or "", Colour.WHITE)

    def coloured_lines(self, cue: Cue) -> tuple[str, ...]:
        """The cue's lines where colours are shown: a dialogue has dashes only if its colours are the same."""
        told_apart = len({self.colour(line.speaker) for line in cue.lines}) == len(cue.lines)
        return tuple(line.text for line in cue.lines) if told_apart else cue.dashed()

    def join(self, words: Iterable[Word]) -> str:
        return join((word.text for word in words), self.transcript.language)

    def paragraphs(self) -> Iterator[Paragraph]:
        """Broken at another speaker, a long pause, doubt, and a segment's end once there are words enough."""
        paragraph: Paragraph | None = None
        for segment in self.transcript.segments:
            if (
                paragraph is not None
                and paragraph.speaker == segment.speaker
                and paragraph.suspect == segment.suspect
                and segment.start_ms - paragraph.end_ms < _PARAGRAPH_PAUSE_MS
                and len(paragraph.words) < _PARAGRAPH_WORDS
            ):
                words = paragraph.words + segment.words
                paragraph = Paragraph(paragraph.start_ms, segment.end_ms, segment.speaker, segment.suspect, words)
                continue
            if paragraph is not None:
                yield paragraph
            paragraph = Paragraph(segment.start_ms, segment.end_ms, segment.speaker, segment.suspect, segment.words)
        if paragraph is not None:
            yield paragraph
