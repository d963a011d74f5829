"""Reading and saving reviews, and publishing every format of the reviewed version."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from tasks import kafka, storage
from tasks.collector import paused_collector
from tasks.contract import InputRejected, Reason, StepError
from tasks.contract.events import TranscriptReviewed
from tasks.desk.comparison import compare
from tasks.desk.places import Place
from tasks.desk.review_log import ReviewLine, log_review, make_line
from tasks.publishing.transcripts import ReviewStamp, TranscriptManifest, publish_files, read_published_transcript
from tasks.transcripts.cues.profiles import BBC, PROFILES
from tasks.transcripts.document import Transcript
from tasks.transcripts.reviews.applied import apply
from tasks.transcripts.reviews.document import Review, make_review
from tasks.transcripts.reviews.draft import Draft, DraftRejected
from tasks.transcripts.reviews.timing import with_times

log = structlog.get_logger()

_NUMBER = re.compile(r"([0-9]{4,9})\.json")


class ReviewConflict(Exception):
    """Another person saved a review of the same version first. Nothing was saved; nothing of either is lost.

    To save nevertheless, send the merged draft again with `based_on.review` set to `theirs.number`.
    """

    def __init__(self, theirs: Review, yours: Review, base: Review | None) -> None:
        """`theirs`: the latest stored review. `yours`: what was to be saved. `base`: the review that yours was edited
        from, none if it was the machine's words."""
        self.theirs, self.yours, self.base = theirs, yours, base
        super().__init__(f"{theirs.author} saved review {theirs.number} at {theirs.created_at:%Y-%m-%d %H:%M} UTC")


@dataclass(frozen=True)
class Version:
    """A transcript's words: a person's, or the machine's."""

    key: str
    """`<programme>/<key12>`."""
    manifest: TranscriptManifest
    """Of the machine's transcript."""
    machine_sha256: str
    """For `based_on.transcript_sha256` of a draft."""
    review: Review | None
    """None: the machine's words."""
    shown: Transcript
    """What is read and edited."""


@dataclass(frozen=True)
class SavedReview:
    """A review that is stored, with its formats."""

    review: Review
    version: Version
    manifest: str
    """URI of the reviewed version's manifest."""
    line: ReviewLine
    is_announced: bool
    """Whether the event was sent, or Kafka is off; if not, `index.jsonl` has the review all the same."""


@dataclass(frozen=True)
class Machine:
    """The machine's transcript of a place."""

    manifest: TranscriptManifest
    transcript: Transcript
    sha256: str


def reviews(transcripts: str, key: str) -> tuple[int, ...]:
    """Return the numbers of a transcript's reviews, in order; empty if there are none.

    `key`: `<programme>/<key12>`, as in URLs. Raises InputRejected(NOT_FOUND) if it cannot be one.
    """
    place = Place.of(transcripts, key)
    names = (found.uri.removeprefix(place.reviews + "/") for found in storage.list_objects(place.reviews))
    return tuple(sorted(int(match[1]) for name in names if (match := _NUMBER.fullmatch(name))))


def read_review(transcripts: str, key: str, number: int) -> Review:
    """Read a review.

    Raises:
        InputRejected: NOT_FOUND, or CORRUPT.
    """
    uri = Place.of(transcripts, key).review(number)
    try:
        return Review.from_bytes(storage.read_bytes(uri))
    except ValueError as error:
        raise InputRejected(
            str(error), reason=Reason.CORRUPT, subject=uri, next_step="restore it, or delete it and its folder"
        ) from None


def latest_review(transcripts: str, key: str) -> Review | None:
    """Return the last review; None if there is none."""
    numbers = reviews(transcripts, key)
    return read_review(transcripts, key, numbers[-1]) if numbers else None


@paused_collector()
def save_review(transcripts: str, key: str, draft: Draft, author: str, now: datetime | None = None) -> SavedReview:
    """Save a draft as the next review, publish every format of it, log it and announce it.

    The review is written first, only if nobody else wrote that number. A save that was cut short, or whose answer was
    lost, is completed by sending the same draft again.

    Raises:
        DraftRejected: the draft does not fit the programme.
        ReviewConflict: there is a later review than the one that the draft is based on.
        InputRejected: the transcript is missing or damaged.
    """
    place = Place.of(transcripts, key)
    machine = read_machine(place)
    if draft.based_on.transcript_sha256 != machine.sha256:
        raise DraftRejected("it was edited from another transcript than this one: open the programme again")
    number = draft.based_on.review
    base = read_review(transcripts, key, number) if number else None
    edited = apply(machine.transcript, base) if base else machine.transcript
    segments = with_times(draft, tuple(edited.words), machine.transcript.media.duration_ms)
    try:
        review = make_review(draft, segments, author, now or datetime.now(UTC))
        reviewed = apply(machine.transcript, review)
    except ValueError as error:
        raise DraftRejected(str(error)) from None
    latest = latest_review(transcripts, key)
    if (latest.number if latest else 0) != (number or 0):
        review = _same_or_conflict(transcripts, key, review, base)
    try:
        storage.write(place.review(review.number), review.to_bytes(), create=True)
    except storage.AlreadyExists:
        review = _same_or_conflict(transcripts, key, review, base)
    return _complete(place, machine, review, reviewed)


def complete_reviews(transcripts: str, key: str) -> tuple[SavedReview, ...]:
    """Publish and log what a save that was cut short left undone. Reviews that are complete are not touched."""
    place = Place.of(transcripts, key)
    pending = [n for n in reviews(transcripts, key) if not storage.exists(place.reviewed_manifest(n))]
    machine = read_machine(place) if pending else None
    stored = (read_review(transcripts, key, n) for n in pending)
    return tuple(_complete(place, machine, review, apply(machine.transcript, review)) for review in stored if machine)


def _same_or_conflict(transcripts: str, key: str, review: Review, base: Review | None) -> Review:
    """Return the stored review if it says what is to be saved.

    Raises:
        ReviewConflict: it says something else.
    """
    stored = latest_review(transcripts, key)
    if stored is None:
        raise DraftRejected("the review on which it is based is gone: open the programme again")
    if stored.number == review.number and stored.author == review.author and stored.has_same_content(review):
        return stored
    raise ReviewConflict(stored, review, base)


def read_machine(place: Place) -> Machine:
    """Read the transcript of a place. Raises InputRejected: NOT_FOUND or CORRUPT."""
    manifest, transcript = read_published_transcript(place.manifest)
    digests = {file.name: file.sha256 for file in manifest.files}
    sha256 = digests.get(manifest.canonical) or hashlib.sha256(transcript.to_bytes()).hexdigest()
    return Machine(manifest, transcript, sha256)


def _complete(place: Place, machine: Machine, review: Review, reviewed: Transcript) -> SavedReview:
    """Publish, log and announce a stored review. Each of these may have been done before."""
    stamp = ReviewStamp(
        number=review.number, author=review.author, created_at=review.created_at, finished=review.finished
    )
    profile = PROFILES.get(machine.manifest.cues.profile, BBC)
    folder = place.reviewed(review.number)
    manifest = publish_files(reviewed, place.programme, machine.manifest.key, folder, profile, stamp)
    line = make_line(place, review, reviewed, compare(machine.transcript, reviewed))
    log_review(place.transcripts, line)
    version = Version(place.key, machine.manifest, machine.sha256, review, reviewed)
    return SavedReview(review, version, manifest, line, _announce(place, machine, line))


def _announce(place: Place, machine: Machine, line: ReviewLine) -> bool:
    event = TranscriptReviewed(
        produced_at=line.created_at,
        programme=line.programme,
        media=line.media,
        transcript=line.transcript,
        machine_transcript=place.folder,
        transcript_key=machine.manifest.key,
        review=line.number,
        author=line.author,
        finished=line.finished,
        model=line.model,
        language=line.language,
        duration_s=line.duration_s,
    )
    try:
        kafka.publish(event)
    except StepError as error:
        log.warning("a review was saved and not announced", review=place.review(line.number), error=str(error))
        return False
    return True
