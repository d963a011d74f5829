"""The transcript's JSON Schema (draft 2020-12), for consumers of the `.json` format.

`python -m tasks.transcripts.schema` regenerates `schema.json` after a change of the model.
"""

from __future__ import annotations

import json
from pathlib import Path

from pydantic.json_schema import GenerateJsonSchema

from tasks.transcripts.document import SCHEMA_VERSION, Transcript

SCHEMA_FILE = Path(__file__).with_name("schema.json")


class _Untitled(GenerateJsonSchema):
    """Omits field titles, which only repeat the names."""

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002
        return False


def schema_bytes() -> bytes:
    """Return the schema of serialised documents: fields that are always written are required."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:airscript:transcript:{SCHEMA_VERSION}",
        **Transcript.model_json_schema(mode="serialization", schema_generator=_Untitled),
    }
    return json.dumps(schema, indent=2, ensure_ascii=False).encode() + b"\n"


if __name__ == "__main__":
    SCHEMA_FILE.write_bytes(schema_bytes())
