"""The JSON Schemas (draft 2020-12) of the transcript and of the review, for consumers of their files.

`python -m tasks.transcripts.schema` regenerates them after a change of the models.
"""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from tasks.transcripts.document import SCHEMA_VERSION, Transcript
from tasks.transcripts.reviews.document import REVIEW_SCHEMA_VERSION, Review

SCHEMA_FILE = Path(__file__).with_name("schema.json")
REVIEW_SCHEMA_FILE = Path(__file__).with_name("reviews") / "schema.json"


class _Untitled(GenerateJsonSchema):
    """Omits field titles, which only repeat the names."""

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002
        return False


def schema_bytes() -> bytes:
    """Return the transcript's schema."""
    return _schema_bytes(Transcript, f"urn:airscript:transcript:{SCHEMA_VERSION}")


def review_schema_bytes() -> bytes:
    """Return the review's schema."""
    return _schema_bytes(Review, f"urn:airscript:review:{REVIEW_SCHEMA_VERSION}")


def _schema_bytes(model: type[BaseModel], urn: str) -> bytes:
    """Return the schema of serialised documents: fields that are always written are required."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": urn,
        **model.model_json_schema(mode="serialization", schema_generator=_Untitled),
    }
    return json.dumps(schema, indent=2, ensure_ascii=False).encode() + b"\n"


if __name__ == "__main__":
    SCHEMA_FILE.write_bytes(schema_bytes())
    REVIEW_SCHEMA_FILE.write_bytes(review_schema_bytes())
