"""What a step leaves behind: `result.json` beside its outputs, and a receipt for whoever launched it."""

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
    """The one way to write `value` as JSON: sorted keys, no spaces, UTF-8. Digests are taken over this."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest_of(value: Any) -> str:
    """sha256 of `value`'s canonical JSON, in hexadecimal."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


class Frozen(BaseModel):
    """A record that crosses a process border: immutable, and strict about names it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Artifact(Frozen):
    """One object that a step wrote. `path` is relative to the folder of the result that lists it."""

    path: str
    bytes: int
    sha256: str


class MappedItem(Frozen):
    """One thing for a later step to be mapped over: `name` is what Airflow shows, `path` where its description lies."""

    name: str
    path: str


class StepResult(Frozen):
    """`result.json`: written last, once; its presence is what makes the step done.

    With `faults`, or beside one that is not reused, it has another name, and only those read it whom the receipt sends
    there.
    """

    schema_version: int = 1
    step: str
    step_version: int
    key: str
    arguments: dict[str, Any]
    inputs: dict[str, str] = Field(description="what was read, with digests")
    outputs: dict[str, Artifact] = Field(default_factory=dict)
    items: tuple[MappedItem, ...] = ()
    counts: dict[str, int] = Field(default_factory=dict)
    metrics: dict[str, float] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict, description="small facts for people: a version, a decision")
    warnings: tuple[str, ...] = ()
    faults: int = Field(default=0, description="items that a fault spoiled; with any, the result is not reused")
    elsewhere: tuple[str, ...] = Field(
        default=(),
        description="published outside the step's folder; with any gone, the result is not reused",
    )
    seconds: float = 0.0
    finished_at: datetime
    code_version: str

    @property
    def content_digest(self) -> str:
        """Digest of what was produced, without times: equal for two runs with equal outputs."""
        return digest_of({"key": self.key, "outputs": {name: a.sha256 for name, a in self.outputs.items()}})

    def to_bytes(self) -> bytes:
        return canonical_json(self.model_dump(mode="json")) + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        return cls.model_validate_json(data)


class Status(StrEnum):
    """How an attempt of a step ended."""

    DONE = "done"
    CACHED = "cached"
    FAILED = "failed"


class ReceiptItem(Frozen):
    """A mapped item with an absolute URI."""

    name: str
    uri: str


class Receipt(Frozen):
    """What an attempt tells its launcher, at the place that the launcher chose (`--receipt`).

    A step's result lies under a key that only the step can compute; the receipt says where.
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
    """How far an attempt is: overwritten beside the receipt every few seconds."""

    step: str
    stage: str
    completed: float
    total: float | None
    unit: str
    detail: str = ""
    updated_at: datetime


def progress_uri(receipt: str) -> str:
    """Where the attempt with this receipt reports its progress."""
    return receipt.removesuffix(".json") + ".progress.json"
