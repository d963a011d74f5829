"""Programmes that people have checked, as transcripts of a corpus: exact words at exact times."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from tasks import storage
from tasks.contract import InputRejected, Reason, canonical_json
from tasks.corpus.inventory.identity import MAX_READABLE_CHARACTERS
from tasks.corpus.records import Supervision
from tasks.dataset.manifest import REVIEWED_PREFIX
from tasks.desk.places import Place
from tasks.desk.review_log import ReviewLine, latest_reviews
from tasks.publishing.transcripts import read_published_transcript
from tasks.transcripts.document import Transcript
from tasks.transcripts.merging import into_segments
from tasks.transcripts.text import join, primary_language


@dataclass(frozen=True)
class ReviewedProgramme:
    """A medium, and a person's words for it."""

    stem: str
    """What its programme id is made of: begins with `REVIEWED_PREFIX`, the same for every transcript of the medium."""
    media: str
    size: int
    etag: str
    manifest: str
    """URI of the reviewed version's manifest."""
    supervisions: tuple[Supervision, ...]


def finished_reviews(transcripts: str, language: str) -> list[ReviewLine]:
    """Return the latest review of each medium that is marked as finished and in this language, in the order of keys."""
    by_media: dict[str, ReviewLine] = {}
    for line in latest_reviews(transcripts).values():
        if line.finished and primary_language(line.language) == primary_language(language):
            other = by_media.get(line.media_sha256)
            if other is None or other.created_at < line.created_at:
                by_media[line.media_sha256] = line
    return sorted(by_media.values(), key=lambda line: line.key)


def held_out_stems(reviews: Sequence[ReviewLine], names: str) -> frozenset[str]:
    """Return the stems of the programmes that `names` holds out: names or patterns, one a line.

    Raises:
        InputRejected: NO_INPUT; a line names no reviewed programme.
    """
    stems: set[str] = set()
    for pattern in filter(None, map(str.strip, names.splitlines())):
        found = {_stem(line) for line in reviews if line.programme == pattern or fnmatchcase(line.programme, pattern)}
        if not found:
            raise InputRejected(
                "no programme of this name has a finished review in the corpus's language",
                reason=Reason.NO_INPUT,
                subject=f"--held-out={pattern}",
                next_step="give names as the page Transcripts shows them, and check that their reviews are finished",
            )
        stems |= found
    return frozenset(stems)


def listing_lines(reviews: Iterable[ReviewLine]) -> bytes:
    """What the reviews add to the digest of a listing."""
    return b"".join(canonical_json([line.key, line.number, line.media_sha256]) + b"\n" for line in reviews)


def reviewed_programmes(
    transcripts: str, reviews: Iterable[ReviewLine]
) -> Iterator[ReviewedProgramme | tuple[str, str]]:
    """Yield the programmes; or for one that cannot be used its manifest and why not."""
    for line in reviews:
        manifest = Place.of(transcripts, line.key).reviewed_manifest(line.number)
        try:
            _, transcript = read_published_transcript(manifest)
            medium = storage.info(line.media)
        except InputRejected as rejected:
            yield manifest, f"{rejected.subject}: {rejected.message}"
            continue
        yield ReviewedProgramme(
            stem=_stem(line),
            media=line.media,
            size=medium.size,
            etag=medium.etag,
            manifest=manifest,
            supervisions=tuple(supervisions(transcript)),
        )


def supervisions(transcript: Transcript) -> Iterator[Supervision]:
    """Yield utterances by the times of words: of one speaker, cut at pauses and ends of sentences."""
    names = {speaker.id: speaker.name or speaker.id for speaker in transcript.speakers}
    for segment in into_segments(list(transcript.words)):
        yield Supervision(
            start_s=segment.start_ms / 1000,
            end_s=segment.end_ms / 1000,
            text=join((word.text for word in segment.words), transcript.language),
            speaker=names.get(segment.speaker or "", ""),
            language=transcript.language,
        )


def _stem(line: ReviewLine) -> str:
    plain = unicodedata.normalize("NFKD", line.programme).encode("ascii", "ignore").decode()
    readable = re.sub(r"[^A-Za-z0-9_-]+", "-", plain)
    stem = f"{REVIEWED_PREFIX.replace('.', '/')}{line.media_sha256[:12]}-{readable}"
    return stem[:MAX_READABLE_CHARACTERS]
