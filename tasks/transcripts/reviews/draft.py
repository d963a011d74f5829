"""What an editor sends: the speakers and segments of a programme as a person left them.

    {"based_on": {"transcript_sha256": "…", "review": 2},
     "finished": false,
     "speakers": [{"id": "S1", "name": "Ana Pérez"}],
     "segments": [{"speaker": "S1", "start_ms": 0, "end_ms": 900,
                   "words": [["Good", 0, 300], ["evening", null, null]]}]}

Words with times are words of the transcript that was edited, and keep their times; `null` marks new words.
"""

from __future__ import annotations

import unicodedata
from itertools import chain
from typing import Annotated, NamedTuple, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from tasks.collector import paused_collector
from tasks.transcripts.document import Milliseconds, SpeakerId
from tasks.transcripts.text import UNSAFE

# Six hours of fast speech are 90,000 words.
MAX_WORDS, MAX_SEGMENTS, MAX_SPEAKERS = 300_000, 100_000, 500
MAX_WORD_CHARACTERS, MAX_NAME_CHARACTERS = 200, 200
MAX_DRAFT_BYTES = 32_000_000


class DraftRejected(ValueError):
    """A draft that cannot be saved. The message says where and why, for the person who edits."""


class BasedOn(BaseModel):
    """What a review was edited from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    transcript_sha256: Annotated[
        str, Field(pattern=r"^[0-9a-f]{64}$", description="of the machine's canonical transcript, as bytes")
    ]
    review: Annotated[int | None, Field(ge=1, description="number of the review; null: the machine's words")] = None


def _checked(text: str) -> str:
    """Refuse what no format can carry; whitespace of any kind is a space."""
    spaced = " ".join(text.split())
    if found := UNSAFE.search(spaced):
        character = found.group()
        name = unicodedata.name(character, "control character or lone surrogate")
        raise ValueError(f"contains U+{ord(character):04X} ({name.lower()})")
    return spaced


WordText = Annotated[str, Field(max_length=MAX_WORD_CHARACTERS), AfterValidator(_checked)]
Name = Annotated[str, Field(max_length=MAX_NAME_CHARACTERS), AfterValidator(_checked)]
Time = Annotated[int, Field(ge=0, strict=True)]


class DraftSpeaker(BaseModel):
    """A speaker, with the name that a person gave. No name, or an empty one: "Speaker 1"."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: SpeakerId
    name: Name | None = None


class DraftWord(NamedTuple):
    """A word; one with spaces stands for several. Both times are null for a new word."""

    text: WordText
    start_ms: Time | None
    end_ms: Time | None


class DraftSegment(BaseModel):
    """Words of one speaker. One without words is left out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    speaker: SpeakerId | None
    start_ms: Milliseconds
    end_ms: Milliseconds
    words: Annotated[tuple[DraftWord, ...], Field(max_length=MAX_WORDS)]

    @model_validator(mode="after")
    def _times_make_sense(self) -> Self:
        if self.end_ms < self.start_ms:
            raise ValueError(f"a segment starts at {self.start_ms} ms and ends earlier, at {self.end_ms} ms")
        for word in self.words:
            if (word.start_ms is None) != (word.end_ms is None):
                raise ValueError(f"word {word.text!r} has one time: give both, or null for a new word")
            if word.start_ms is not None and word.end_ms is not None and word.end_ms < word.start_ms:
                raise ValueError(f"word {word.text!r} starts at {word.start_ms} ms and ends earlier")
        return self


class Draft(BaseModel):
    """A review before it is saved."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    based_on: BasedOn
    finished: Annotated[bool, Field(description="the whole programme was checked, and counts as exact")] = False
    speakers: Annotated[tuple[DraftSpeaker, ...], Field(max_length=MAX_SPEAKERS)]
    segments: Annotated[tuple[DraftSegment, ...], Field(max_length=MAX_SEGMENTS)]

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        known = {speaker.id for speaker in self.speakers}
        if len(known) < len(self.speakers):
            raise ValueError("two speakers have the same id")
        n_words, start_ms, end_ms = 0, 0, 0
        for segment in self.segments:
            n_words += len(segment.words)
            if segment.speaker is not None and segment.speaker not in known:
                raise ValueError(f"{segment.speaker}, speaker of the segment at {segment.start_ms} ms, is not listed")
        if n_words > MAX_WORDS:
            raise ValueError(f"{n_words:,} words are more than {MAX_WORDS:,}")
        for word in chain.from_iterable(segment.words for segment in self.segments):
            if word.start_ms is None or word.end_ms is None:
                continue
            if word.start_ms < start_ms or word.end_ms < end_ms:
                raise ValueError(f"word {word.text!r} at {word.start_ms} ms starts or ends before its predecessor")
            start_ms, end_ms = word.start_ms, word.end_ms
        return self


@paused_collector()
def parse_draft(data: bytes) -> Draft:
    """Parse and check what an editor sent as JSON.

    Raises:
        DraftRejected: it is too large, no JSON, of another shape, or has text that cannot be saved.
    """
    if len(data) > MAX_DRAFT_BYTES:
        raise DraftRejected(f"{len(data):,} bytes are more than {MAX_DRAFT_BYTES:,}")
    try:
        return Draft.model_validate_json(data)
    except ValidationError as error:
        raise DraftRejected(_first_problem(error)) from None


def _first_problem(error: ValidationError) -> str:
    """`segments.3.words.0.text: contains U+0007 (…)`, and how many more."""
    first, *others = error.errors(include_url=False, include_context=False, include_input=False)
    place = ".".join(map(str, first["loc"]))
    message = first["msg"].removeprefix("Value error, ")
    if "hex escape" in message:
        message += ": half a character (a lone surrogate) cannot be saved"
    more = f" (and {len(others)} more)" if others else ""
    return f"{place}: {message}{more}" if place else f"{message}{more}"
