"""What a step writes besides its outputs: `result.json` next to them, and a receipt for its launcher."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from tasks.contract.outcomes import Reason

RESULT_NAME = "result.json"


def canonical_json(value: Any) -> bytes:
    """Serialise `value` canonically, for digests: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest_of(value: Any) -> str:
    """Return the hexadecimal sha256 of `value`'s canonical JSON."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


class Frozen(BaseModel):
    """A record that crosses a process boundary: immutable, and strict about unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Artifact(Frozen):
    """One output object of a step. `path` is relative to the folder of the result that lists it."""

    path: str
    bytes: int
    sha256: str


class MappedItem(Frozen):
    """One item that a later step is mapped over.

    Airflow shows `name` as its map index. `path` leads to its description, relative to the result's folder.
    """

    name: str
    path: str


class StepResult(Frozen):
    """`result.json`: written last and once. Its presence marks the step as done.

    A result with retryable items, or one that replaces a result that cannot be reused, is `result-<attempt>.json`
    instead: only readers of the receipt find it, and the next run of the step does not reuse it.
    """

    model_config = ConfigDict(populate_by_name=True)

    schema_version: int = 1
    step: str
    step_version: int
    key: str
    arguments: dict[str, Any]
    inputs: dict[str, str] = Field(description="what was read, by name, with digests")
    outputs: dict[str, Artifact] = Field(default_factory=dict)
    items: tuple[MappedItem, ...] = ()
    counts: dict[str, int] = Field(default_factory=dict)
    metrics: dict[str, float] = Field(default_factory=dict)
    labels: dict[str, str] = Field(
        default_factory=dict, description="short facts to display, such as a version or a decision"
    )
    warnings: tuple[str, ...] = ()
    n_retryable: int = Field(
        default=0,
        validation_alias="faults",
        serialization_alias="faults",
        description="items that failed for a transient reason; if there are any, the result is not reused",
    )
    external_uris: tuple[str, ...] = Field(
        default=(),
        validation_alias="elsewhere",
        serialization_alias="elsewhere",
        description="URIs of objects outside the step's folder; if one is missing, the result is not reused",
    )
    seconds: float = 0.0
    finished_at: datetime
    code_version: str

    @property
    def content_digest(self) -> str:
        """Digest of the key and the outputs, without timestamps: equal for two runs with equal outputs."""
        return digest_of({"key": self.key, "outputs": {name: a.sha256 for name, a in self.outputs.items()}})

    def to_bytes(self) -> bytes:
        return canonical_json(self.model_dump(mode="json", by_alias=True)) + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        return cls.model_validate_json(data)


class Status(StrEnum):
    """How an attempt of a step ended."""

    DONE = "done"
    CACHED = "cached"
    FAILED = "failed"


class ReceiptItem(Frozen):
    """A `MappedItem` with an absolute URI."""

    name: str
    uri: str


class Receipt(Frozen):
    """An attempt's report to its launcher, written to the URI that the launcher chose (`--receipt`).

    Only the step can compute the key in the result's URI, so the launcher learns the URI from the receipt.
    """

    step: str
    status: Status
    result: str = Field(default="", description="URI of result.json, empty on failure")
    items: tuple[ReceiptItem, ...] = ()
    counts: dict[str, int] = Field(default_factory=dict)
    metrics: dict[str, float] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    exit_code: int = 0
    reason: Reason | None = None
    error: str = ""


class ProgressReport(Frozen):
    """An attempt's progress, overwritten next to the receipt every few seconds."""

    step: str
    stage: str
    completed: float
    total: float | None
    unit: str
    detail: str = ""
    updated_at: datetime


def progress_uri(receipt: str) -> str:
    """Return the URI of the progress report that belongs to a receipt."""
    return receipt.removesuffix(".json") + ".progress.json"
