"""The review: a person's words for a programme, who wrote them, and what they are based on.

A review stands beside the machine's transcript and never changes it. Numbers count up from 1; each review holds the
whole programme, so the last one is the person's version. Serialised as canonical JSON like the transcript;
`schema.json` beside this file is its JSON Schema (`python -m tasks.transcripts.schema` makes it again).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Final, Literal, NamedTuple, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from tasks.transcripts.document import Milliseconds, Speaker, SpeakerId, Text
from tasks.transcripts.reviews.draft import BasedOn, Draft

REVIEW_SCHEMA_VERSION: Final = 1


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_serialization_defaults_required=True)


class ReviewWord(NamedTuple):
    """A word and its time, `["evening", 300, 900]`."""

    text: Text
    start_ms: Milliseconds
    end_ms: Milliseconds


class ReviewSegment(_Model):
    """Consecutive words of at most one speaker."""

    speaker: SpeakerId | None
    start_ms: Milliseconds
    end_ms: Milliseconds
    words: Annotated[tuple[ReviewWord, ...], Field(min_length=1)]


class Review(_Model):
    schema_version: Literal[1] = REVIEW_SCHEMA_VERSION
    number: Annotated[int, Field(ge=1, strict=True, description="1 for a programme's first review")]
    author: Annotated[Text, Field(max_length=200, description="user name in Airflow")]
    created_at: AwareDatetime
    based_on: BasedOn
    finished: Annotated[bool, Field(description="the whole programme was checked, and counts as exact")]
    speakers: tuple[Speaker, ...]
    segments: tuple[ReviewSegment, ...]

    @property
    def words(self) -> Iterator[ReviewWord]:
        return (word for segment in self.segments for word in segment.words)

    def has_same_content(self, other: Review) -> bool:
        """Whether two reviews say the same, whoever saved them when."""
        return self._content == other._content

    @property
    def _content(self) -> tuple[object, ...]:
        return self.finished, self.speakers, self.segments

    def to_bytes(self) -> bytes:
        return self.model_dump_json().encode() + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Parse a review. Raises pydantic's ValidationError."""
        return cls.model_validate_json(data)


def make_review(draft: Draft, segments: tuple[ReviewSegment, ...], author: str, created_at: datetime) -> Review:
    """Return the review that follows the one that the draft is based on."""
    return Review(
        number=(draft.based_on.review or 0) + 1,
        author=author,
        created_at=created_at,
        based_on=draft.based_on,
        finished=draft.finished,
        speakers=tuple(Speaker(id=speaker.id, name=speaker.name or None) for speaker in draft.speakers),
        segments=segments,
    )
