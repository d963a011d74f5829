"""A programme as its page shows it: the machine's words, a person's, other models' beside them, and its downloads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tasks import storage
from tasks.contract import InputRejected
from tasks.desk.places import Place
from tasks.desk.reviews import Version, read_machine, read_review, reviews
from tasks.publishing.transcripts import MANIFEST_NAME, PublishedFile, TranscriptManifest
from tasks.storage.records import read_one
from tasks.storage.uris import quoted_name
from tasks.transcripts.document import Transcript
from tasks.transcripts.reviews.applied import apply


@dataclass(frozen=True)
class Programme(Version):
    """One transcript and its reviews, in the version of the latest one."""

    machine: Transcript
    n_reviews: int
    other_models: tuple[OtherTranscript, ...]
    """Transcripts of the same media by other models or pipelines, newest name last."""


@dataclass(frozen=True)
class OtherTranscript:
    """Another transcript of the same media."""

    key: str
    model: str
    n_reviews: int


@dataclass(frozen=True)
class Download:
    """A file to download."""

    name: str
    uri: str
    media_type: str
    bytes: int


@dataclass(frozen=True)
class Downloads:
    """All formats, of the machine's words and of the latest reviewed version."""

    machine: tuple[Download, ...]
    reviewed: tuple[Download, ...]
    """Empty if there is no review."""
    review: int | None
    """Number of the review."""


def load_programme(transcripts: str, key: str) -> Programme:
    """Load what a programme's page needs. A few small reads, and one of the transcript.

    Raises:
        InputRejected: NOT_FOUND if there is no such transcript, CORRUPT if it is damaged.
    """
    place = Place.of(transcripts, key)
    machine = read_machine(place)
    numbers = reviews(transcripts, key)
    review = read_review(transcripts, key, numbers[-1]) if numbers else None
    return Programme(
        key=place.key,
        manifest=machine.manifest,
        machine=machine.transcript,
        machine_sha256=machine.sha256,
        review=review,
        shown=apply(machine.transcript, review) if review else machine.transcript,
        n_reviews=len(numbers),
        other_models=tuple(_others(place, machine.manifest.media_sha256)),
    )


def downloads(transcripts: str, key: str) -> Downloads:
    """List the files of a programme. Raises InputRejected(NOT_FOUND)."""
    place = Place.of(transcripts, key)
    machine = read_one(TranscriptManifest, place.manifest)
    for number in reversed(reviews(transcripts, key)):
        try:
            reviewed = read_one(TranscriptManifest, place.reviewed_manifest(number))
        except InputRejected:  # its save was cut short, see `complete_reviews`
            continue
        folder = place.reviewed(number)
        return Downloads(_files(place.folder, machine.files), _files(folder, reviewed.files), number)
    return Downloads(_files(place.folder, machine.files), (), None)


def _files(folder: str, files: tuple[PublishedFile, ...]) -> tuple[Download, ...]:
    return tuple(
        Download(file.name, storage.join(folder, quoted_name(file.name, folder)), file.media_type, file.bytes)
        for file in files
    )


def _others(place: Place, media_sha256: str) -> Iterator[OtherTranscript]:
    """Yield the other transcripts of this media under the programme's name."""
    folder = storage.parent(place.folder)
    for found in storage.list_objects(folder):
        parts = found.uri.removeprefix(folder + "/").split("/")
        if len(parts) == 2 and parts[1] == MANIFEST_NAME and parts[0] != place.digits:
            other = read_one(TranscriptManifest, found.uri)
            if other.media_sha256 == media_sha256:
                key = f"{place.programme}/{parts[0]}"
                yield OtherTranscript(key, other.model, len(reviews(place.transcripts, key)))
