"""A line for each review in `<transcripts>/_reviews/<day>/index.jsonl`, for other systems and for the search index.

Storage cannot append, so each line is an object of its own, written once, and `index.jsonl` is all of a day's lines. A
writer whose list is out of date when it is written writes it again: the last writer has seen every line.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from datetime import datetime

from pydantic import AwareDatetime, Field

from tasks import storage
from tasks.contract import Frozen, InputRejected
from tasks.desk.comparison import Comparison
from tasks.desk.places import Place
from tasks.storage.records import read_lines, read_one, to_lines
from tasks.transcripts.document import Transcript
from tasks.transcripts.error_counts import ErrorCounts
from tasks.transcripts.reviews.document import Review

REVIEWS_LOG = "_reviews"
INDEX_NAME = "index.jsonl"


class ReviewLine(Frozen):
    """One review, and the errors of the machine's words against it."""

    programme: str
    key: str = Field(description="`<programme>/<key12>`, the transcript's place")
    number: int
    author: str
    created_at: AwareDatetime
    finished: bool = False
    media: str
    media_sha256: str
    transcript: str = Field(description="URI of the folder with every format of the reviewed version")
    model: str = Field(description="version of the recogniser that wrote the machine's words")
    language: str = ""
    duration_s: float = 0.0
    errors: ErrorCounts = Field(description="of the machine's words, by `words-lower-1`")
    by_speaker: dict[str, ErrorCounts] = Field(default_factory=dict, description="the same by the person's speakers")

    @property
    def id(self) -> str:
        """Name of its object. Of the whole key: a medium that came under two names has the same twelve digits twice."""
        digits = hashlib.sha256(self.key.encode()).hexdigest()[:12]
        return f"{self.created_at:%H%M%S}-{digits}-{self.number:04d}"


def make_line(place: Place, review: Review, reviewed: Transcript, compared: Comparison) -> ReviewLine:
    return ReviewLine(
        programme=place.programme,
        key=place.key,
        number=review.number,
        author=review.author,
        created_at=review.created_at,
        finished=review.finished,
        media=reviewed.media.uri,
        media_sha256=reviewed.media.sha256,
        transcript=place.reviewed(review.number),
        model=reviewed.provenance.model_version,
        language=reviewed.language,
        duration_s=round(reviewed.media.duration_ms / 1000, 3),
        errors=compared.errors,
        by_speaker=compared.by_speaker,
    )


def log_review(transcripts: str, line: ReviewLine) -> str:
    """Add a line. Does nothing if it is there already. Return the URI of the day's `index.jsonl`."""
    folder = _folder(transcripts, line.created_at)
    uri = storage.join(folder, f"{line.id}.json")
    with contextlib.suppress(storage.AlreadyExists):
        storage.write(uri, line.model_dump_json().encode() + b"\n", create=True)
    index = storage.join(folder, INDEX_NAME)
    written: list[str] | None = None
    while (found := _records(folder)) != written:
        known = {entry.id: entry for entry in _read_index(index)}
        names = [storage.name_of(record).removesuffix(".json") for record in found]
        lines = [known.get(name) or read_one(ReviewLine, record) for name, record in zip(names, found, strict=True)]
        storage.write(index, to_lines(lines))
        written = found
    return index


def read_review_log(transcripts: str) -> Iterator[ReviewLine]:
    """Yield the lines of all reviews, oldest first."""
    prefix = storage.join(transcripts, REVIEWS_LOG)
    for found in storage.list_objects(prefix):
        if storage.name_of(found.uri) == INDEX_NAME:
            yield from read_lines(ReviewLine, found.uri)


def latest_reviews(transcripts: str) -> dict[str, ReviewLine]:
    """Return the last review of each programme that has any, by key."""
    latest: dict[str, ReviewLine] = {}
    for line in read_review_log(transcripts):
        if line.key not in latest or latest[line.key].number < line.number:
            latest[line.key] = line
    return latest


def _folder(transcripts: str, at: datetime) -> str:
    return storage.join(transcripts, REVIEWS_LOG, f"{at:%Y-%m-%d}")


def _records(folder: str) -> list[str]:
    uris = (found.uri for found in storage.list_objects(folder))
    return sorted(uri for uri in uris if uri.endswith(".json"))


def _read_index(uri: str) -> list[ReviewLine]:
    try:
        return list(read_lines(ReviewLine, uri))
    except InputRejected:  # none yet
        return []
