"""The events that airscript exchanges with other systems over Kafka, one JSON object per message.

Within a schema version fields are only added, and consumers ignore unknown ones. Delivery is at least once: consumers
deduplicate by `event_id`, and captions by `sequence` within their session. The JSON Schemas in `docs/schemas` are
generated from these models: `python -m tasks.contract.events docs/schemas`.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, computed_field, model_validator

from tasks.contract.outcomes import Outcome, Reason
from tasks.contract.result import digest_of

Milliseconds = Annotated[int, Field(ge=0)]
SESSION_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"
Session = Annotated[str, Field(pattern=SESSION_PATTERN, description="one broadcast of one channel")]


class Event(BaseModel):
    """Base of all events. `TOPIC` is the Kafka topic, `key` the message key: events with equal keys stay in order."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    TOPIC: ClassVar[str]
    schema_version: Literal[1] = 1

    @property
    def key(self) -> str:
        raise NotImplementedError

    def to_bytes(self) -> bytes:
        return self.model_dump_json().encode()


class Fact(Event):
    """Something that happened once. A repeated publication has the same `event_id`."""

    produced_at: datetime

    @computed_field  # type: ignore[prop-decorator]
    @property
    def event_id(self) -> str:
        """Digest of all fields but `produced_at`."""
        fields = {name: getattr(self, name) for name in type(self).model_fields if name != "produced_at"}
        return digest_of({"topic": self.TOPIC, **json.loads(json.dumps(fields, default=str))})[:32]


class MediaArrived(Fact):
    """A media file is complete and can be transcribed. Keyed by programme."""

    TOPIC = "media.arrived"

    uri: str = Field(pattern="^(file:///|s3://).+", description="URI of the media file")
    n_bytes: int = Field(ge=0, description="size in bytes")
    etag: str = Field("", description="etag of the object; this or sha256 is required")
    sha256: str = Field(
        default="", pattern="^([0-9a-f]{64})?$", description="sha256 of the file; this or etag is required"
    )
    programme: str = Field(
        min_length=1, max_length=200, description="message key: events of one programme stay in order"
    )
    metadata: dict[str, str] = Field(
        default_factory=dict, description="metadata of the programme, passed through unchanged"
    )

    @model_validator(mode="after")
    def _has_identity(self) -> Self:
        if not (self.etag or self.sha256):
            raise ValueError("an etag or a sha256 is required to identify the content")
        return self

    @property
    def key(self) -> str:
        return self.programme


class TranscriptPublished(Fact):
    """A transcript is published in every format. Keyed by programme."""

    TOPIC = "transcript.published"

    programme: str = Field(description="message key")
    media: str = Field(description="URI of the transcribed media file")
    transcript: str = Field(description="URI of the folder with all formats and manifest.json")
    transcript_key: str = Field(description="identity of the transcript, 64 hexadecimal digits")
    model: str = Field(description="version of the recogniser")
    outcome: Outcome
    language: str = Field("", description="BCP 47, or und; empty: unknown")
    duration_s: float = Field(0.0, description="duration of the media")

    @property
    def key(self) -> str:
        return self.programme


class TranscriptFailed(Fact):
    """A media file could not be transcribed. Keyed by programme."""

    TOPIC = "transcript.failed"

    programme: str = Field(description="message key")
    media: str = Field(description="URI of the media file")
    outcome: Outcome
    reason: Reason | None = Field(default=None, description="from the closed list of reasons")
    detail: str = Field("", description="explanation for people")

    @property
    def key(self) -> str:
        return self.programme


class TranscriptReviewed(Fact):
    """A person corrected a transcript, and the corrected version is published in every format. Keyed by programme."""

    TOPIC = "transcript.reviewed"

    programme: str = Field(description="message key")
    media: str = Field(description="URI of the transcribed media file")
    transcript: str = Field(description="URI of the folder with all formats of the reviewed version and manifest.json")
    machine_transcript: str = Field(description="URI of the folder of the transcript that was corrected")
    transcript_key: str = Field(description="identity of that transcript, 64 hexadecimal digits")
    review: int = Field(ge=1, description="number of the review, counted from 1")
    author: str = Field(description="who saved it")
    finished: bool = Field(description="whether the whole programme was checked")
    model: str = Field(description="version of the recogniser")
    language: str = Field("", description="BCP 47, or und; empty: unknown")
    duration_s: float = Field(0.0, description="duration of the media")

    @property
    def key(self) -> str:
        return self.programme


class ModelPromoted(Fact):
    """The alias `champion` moved. Keyed by the registered model's name."""

    TOPIC = "model.promoted"

    name: str = Field(description="registered model, the message key")
    version: str = Field(description="version that is champion now")
    before: str = Field(description="previous champion's version; empty: there was none")
    decided_by: str = Field(description="rule, or a person's name")
    because: str = Field(description="reason for the decision")

    @property
    def key(self) -> str:
        return self.name


class CaptionWord(BaseModel):
    """One word of a live caption. Its speaker is provisional."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    text: str
    start_ms: Milliseconds
    end_ms: Milliseconds
    confidence: float = Field(ge=0, le=1)
    speaker: str | None = None


class Caption(Event):
    """Consecutive words of a session. Keyed by session."""

    session: Session
    sequence: int = Field(ge=0, description="consecutive number within topic and session")
    start_ms: Milliseconds
    end_ms: Milliseconds
    text: str
    words: tuple[CaptionWord, ...]
    captured_at: float = Field(
        description="capture time of the audio that led to it, in seconds since 1970; 0: unknown"
    )

    @property
    def key(self) -> str:
        return self.session


class CaptionPartial(Caption):
    """The partial hypothesis after the last final caption. Replaces the previous one; may be empty."""

    TOPIC = "captions.partial"


class CaptionFinal(Caption):
    """Committed words: they do not change any more."""

    TOPIC = "captions.final"


EVENTS: tuple[type[Event], ...] = (
    MediaArrived,
    TranscriptPublished,
    TranscriptFailed,
    TranscriptReviewed,
    ModelPromoted,
    CaptionPartial,
    CaptionFinal,
)


def json_schema(event: type[Event]) -> dict[str, Any]:
    """Return the JSON Schema of an event as serialised."""
    schema = event.model_json_schema(mode="serialization")
    required = [name for name, field in event.model_fields.items() if field.is_required()]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "required": sorted(required)}


def schema_file(event: type[Event]) -> tuple[str, str]:
    """Return file name and text of an event's schema."""
    return f"{event.TOPIC}.v1.json", json.dumps(json_schema(event), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for _event in EVENTS:
        _name, _text = schema_file(_event)
        Path(sys.argv[1], _name).write_text(_text)
