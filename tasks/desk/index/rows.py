"""What is indexed of a programme: read from a night's `index.jsonl`, the transcript's JSON and the log of reviews."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from pydantic import BaseModel, ConfigDict

from tasks import storage
from tasks.contract import Outcome
from tasks.desk.places import Place
from tasks.desk.review_log import ReviewLine
from tasks.publishing.transcripts import TranscriptManifest
from tasks.storage.records import read_one
from tasks.transcripts.text import join

_DAY = re.compile(r"(?<!\d)((?:19|20)\d\d)-?(0[1-9]|1[0-2])-?(0[1-9]|[12]\d|3[01])(?!\d)")


class NightLine(BaseModel):
    """A line of a night's `index.jsonl`, as other systems read it too."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    programme: str
    media: str
    outcome: Outcome
    reason: str | None = None
    detail: str = ""
    transcript: str = ""
    duration_s: float = 0.0
    rtfx: float | None = None
    cost: float | None = None
    compute_s: float | None = None


@dataclass(frozen=True)
class ProgrammeRow:
    """A row of `programmes`, without its id."""

    key: str | None
    """`<programme>/<key12>`; None: there is no transcript."""
    programme: str
    media: str
    media_sha256: str
    day: str
    """The date in the programme's name, else that of its night; empty if neither is known."""
    night: str
    status: str
    """The outcome of the night; `done` for transcripts of no night, such as live ones."""
    reason: str
    detail: str
    model: str
    language: str
    duration_s: float
    words: int
    speakers: int | None
    confidence: float | None
    coverage: float | None
    review: int = 0
    finished: bool = False
    reviewed_by: str = ""
    reviewed_at: str = ""
    errors: int | None = None
    reference_words: int | None = None
    rtfx: float | None = None
    """Times real time, over the programme's batch."""
    cost: float | None = None
    compute_s: float | None = None

    @property
    def values(self) -> dict[str, Any]:
        return asdict(self)


COLUMNS = tuple(field.name for field in fields(ProgrammeRow))


@dataclass(frozen=True)
class IndexedProgramme:
    """A row, and the texts that are searched."""

    row: ProgrammeRow
    speaker_names: str
    words: str


def without_transcript(line: NightLine, night: str) -> IndexedProgramme:
    """The row of a programme that was not transcribed."""
    row = ProgrammeRow(
        key=None,
        programme=line.programme,
        media=line.media,
        media_sha256="",
        day=day_of(line.programme, night),
        night=night,
        status=line.outcome,
        reason=line.reason or "",
        detail=line.detail,
        model="",
        language="",
        duration_s=line.duration_s,
        words=0,
        speakers=None,
        confidence=None,
        coverage=None,
    )
    return IndexedProgramme(row, "", "")


def of_transcript(place: Place, line: NightLine | None, night: str, review: ReviewLine | None) -> IndexedProgramme:
    """Read a transcript, and the reviewed version if it has one.

    Raises:
        InputRejected: one of them is missing or damaged.
    """
    manifest = read_one(TranscriptManifest, place.manifest)
    machine = _read_json(place.file(manifest.canonical))
    confidences = [word["confidence"] for word in _words(machine) if word["confidence"] is not None]
    coverage = machine["coverage"]
    row = ProgrammeRow(
        key=place.key,
        programme=place.programme,
        media=manifest.media,
        media_sha256=manifest.media_sha256,
        day=day_of(place.programme, night),
        night=night,
        status=line.outcome if line else Outcome.DONE,
        reason=(line.reason or "") if line else "",
        detail=line.detail if line else "",
        model=manifest.model,
        language=machine["language"],
        duration_s=round(machine["media"]["duration_ms"] / 1000, 3),
        words=sum(1 for _ in _words(machine)),
        speakers=len(machine["speakers"]) if machine["provenance"]["diarizer"] else None,
        confidence=round(sum(confidences) / len(confidences), 4) if confidences else None,
        coverage=round(coverage["covered_ms"] / coverage["speech_ms"], 4) if coverage["speech_ms"] else None,
        rtfx=line.rtfx if line else None,
        cost=line.cost if line else None,
        compute_s=line.compute_s if line else None,
    )
    indexed = IndexedProgramme(row, _names(machine), _text(machine))
    return with_review(place, indexed.row, review) if review else indexed


def with_review(place: Place, row: ProgrammeRow, review: ReviewLine) -> IndexedProgramme:
    """The row with the figures of a review, and the person's words. Raises InputRejected if they cannot be read."""
    manifest = read_one(TranscriptManifest, place.reviewed_manifest(review.number))
    document = _read_json(
        storage.join(place.reviewed(review.number), place.file(manifest.canonical).rpartition("/")[2])
    )
    reviewed = replace(
        row,
        review=review.number,
        finished=review.finished,
        reviewed_by=review.author,
        reviewed_at=review.created_at.isoformat(timespec="seconds"),
        errors=review.errors.errors,
        reference_words=review.errors.length,
    )
    return IndexedProgramme(reviewed, _names(document), _text(document))


def day_of(programme: str, night: str) -> str:
    """The broadcast date in a programme's name, `2026-03-23_news` or `news20260323`, else the date of its night."""
    match = _DAY.search(programme) or _DAY.search(night)
    return "-".join(match.groups()) if match else ""


def _read_json(uri: str) -> dict[str, Any]:
    """A canonical transcript, unchecked: validation would take ten times as long, and publishing has done it."""
    document: dict[str, Any] = json.loads(storage.read_bytes(uri))
    return document


def _words(document: dict[str, Any]) -> Iterable[dict[str, Any]]:
    return (word for segment in document["segments"] for word in segment["words"])


def _text(document: dict[str, Any]) -> str:
    return join((word["text"] for word in _words(document)), document["language"])


def _names(document: dict[str, Any]) -> str:
    return "\n".join(speaker["name"] for speaker in document["speakers"] if speaker["name"])
