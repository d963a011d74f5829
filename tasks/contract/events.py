"""What airscript says to other systems over Kafka, and what they say to it: one JSON object a message.

Within a schema version fields are only added, so readers pass over what they do not know. Delivery is at least once:
equal events have equal `event_id`, and captions of a session equal `sequence`; a reader that remembers them sees each
once. The JSON Schemas in `docs/schemas` come from these models: `python -m tasks.contract.events docs/schemas`.
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
    """What every event has. `TOPIC` is where it goes; `key` orders events of one thing."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    TOPIC: ClassVar[str]
    schema_version: Literal[1] = 1

    @property
    def key(self) -> str:
        raise NotImplementedError

    def to_bytes(self) -> bytes:
        return self.model_dump_json().encode()


class Fact(Event):
    """Something that happened once. Who says it again says it with the same `event_id`."""

    produced_at: datetime

    @computed_field  # type: ignore[prop-decorator]
    @property
    def event_id(self) -> str:
        """Digest of all that is said but the time of saying it."""
        told = {name: getattr(self, name) for name in type(self).model_fields if name != "produced_at"}
        return digest_of({"topic": self.TOPIC, **json.loads(json.dumps(told, default=str))})[:32]


class MediaArrived(Fact):
    """A medium is complete and may be transcribed. Keyed by programme."""

    TOPIC = "media.arrived"

    uri: str = Field(pattern="^(file:///|s3://).+", description="where it lies")
    n_bytes: int = Field(ge=0, description="its size")
    etag: str = Field("", description="of the object; this or sha256 must be given")
    sha256: str = Field(default="", pattern="^([0-9a-f]{64})?$", description="of its bytes; this or etag must be given")
    programme: str = Field(min_length=1, max_length=200, description="events of one programme stay in order")
    metadata: dict[str, str] = Field(default_factory=dict, description="of the programme, passed on as it is")

    @model_validator(mode="after")
    def _has_identity(self) -> Self:
        if not (self.etag or self.sha256):
            raise ValueError("an etag or a sha256 must say which bytes arrived")
        return self

    @property
    def key(self) -> str:
        return self.programme


class TranscriptPublished(Fact):
    """A transcript stands in every format. Keyed by programme."""

    TOPIC = "transcript.published"

    programme: str
    media: str = Field(description="URI of what was transcribed")
    transcript: str = Field(description="URI of the folder with every format and manifest.json")
    transcript_key: str = Field(description="its identity, 64 hexadecimal digits")
    model: str
    outcome: Outcome
    language: str = ""
    duration_s: float = 0.0

    @property
    def key(self) -> str:
        return self.programme


class TranscriptFailed(Fact):
    """A medium got no transcript. Keyed by programme."""

    TOPIC = "transcript.failed"

    programme: str
    media: str
    outcome: Outcome
    reason: Reason | None = None
    detail: str = ""

    @property
    def key(self) -> str:
        return self.programme


class ModelPromoted(Fact):
    """The alias `champion` moved. Keyed by the registered model's name."""

    TOPIC = "model.promoted"

    name: str
    version: str
    before: str = Field(description="version that was champion; empty if there was none")
    decided_by: str
    because: str

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
    """Words of a session in the order in which they were said. Keyed by session."""

    session: Session
    sequence: int = Field(ge=0, description="rises by one from each to the next of its topic and session")
    start_ms: Milliseconds
    end_ms: Milliseconds
    text: str
    words: tuple[CaptionWord, ...]
    captured_at: float = Field(description="when the audio that led to it was there, seconds since 1970; 0: unknown")

    @property
    def key(self) -> str:
        return self.session


class CaptionPartial(Caption):
    """What may have been said after the last final caption. Each replaces the one before; empty: nothing."""

    TOPIC = "captions.partial"


class CaptionFinal(Caption):
    """Words that never change any more."""

    TOPIC = "captions.final"


EVENTS: tuple[type[Event], ...] = (
    MediaArrived,
    TranscriptPublished,
    TranscriptFailed,
    ModelPromoted,
    CaptionPartial,
    CaptionFinal,
)


def json_schema(event: type[Event]) -> dict[str, Any]:
    """The JSON Schema of what stands in the topic."""
    schema = event.model_json_schema(mode="serialization")
    required = [name for name, field in event.model_fields.items() if field.is_required()]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "required": sorted(required)}


def schema_file(event: type[Event]) -> tuple[str, str]:
    """Name and text of an event's schema."""
    return f"{event.TOPIC}.v1.json", json.dumps(json_schema(event), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for _event in EVENTS:
        _name, _text = schema_file(_event)
        Path(sys.argv[1], _name).write_text(_text)
