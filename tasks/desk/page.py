"""What the page of a programme shows, as plain data; the objects that it plays and saves; subtitles of a draft."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from tasks import storage
from tasks.desk.programmes import Programme, load_programme
from tasks.desk.reviews import Version, read_review
from tasks.transcripts.cues.profiles import BBC, PROFILES
from tasks.transcripts.document import Coverage, Media, Provenance, Segment, Speaker, Transcript, Word, WordTiming
from tasks.transcripts.formats.rendition import Rendition
from tasks.transcripts.reviews.applied import apply
from tasks.transcripts.reviews.draft import Draft

CHUNK_BYTES = 256 * 1024


def load_version(transcripts: str, key: str, number: int | None = None) -> Programme:
    """Load a programme as it is now, as review `number` left it, or for 0 as the machine wrote it.

    Raises:
        InputRejected: NOT_FOUND or CORRUPT, for the transcript or the review.
    """
    programme = load_programme(transcripts, key)
    if number is None or (programme.review and programme.review.number == number):
        return programme
    if number == 0:
        return replace(programme, review=None, shown=programme.machine)
    review = read_review(transcripts, key, number)
    return replace(programme, review=review, shown=apply(programme.machine, review))


def describe(version: Version) -> dict[str, Any]:
    """Return the document that the page edits. Words are `[text, start_ms, end_ms, confidence]`."""
    shown, review = version.shown, version.review
    return {
        "key": version.key,
        "duration_ms": shown.media.duration_ms,
        "language": shown.language,
        "model": shown.provenance.model_version,
        "cue_profile": version.manifest.cues.profile,
        "machine_sha256": version.machine_sha256,
        "review": review
        and {
            "number": review.number,
            "author": review.author,
            "created_at": review.created_at.isoformat(),
            "finished": review.finished,
        },
        "speakers": [{"id": speaker.id, "name": speaker.name} for speaker in shown.speakers],
        "segments": [
            {
                "speaker": segment.speaker,
                "start_ms": segment.start_ms,
                "end_ms": segment.end_ms,
                "suspect": segment.suspect,
                "words": [(word.text, word.start_ms, word.end_ms, word.confidence) for word in segment.words],
            }
            for segment in shown.segments
        ],
        "suspect_passages": [
            {"start_ms": passage.start_ms, "end_ms": passage.end_ms, "reasons": passage.reasons}
            for passage in shown.suspect_passages
        ],
        "warnings": [{"code": str(warning.code), "detail": warning.detail} for warning in shown.warnings],
    }


def preview_cues(excerpt: Draft, language: str, profile: str) -> list[dict[str, Any]]:
    """Cut an excerpt of a draft, in which every word has times, into subtitles with the limits that each breaks.

    The words before and after the excerpt may move its first and its last cut. Raises ValueError for impossible times.
    """
    segments = tuple(
        Segment(
            start_ms=min(segment.start_ms, words[0].start_ms),
            end_ms=max(segment.end_ms, words[-1].end_ms),
            speaker=segment.speaker,
            suspect=False,
            words=words,
        )
        for segment in excerpt.segments
        if (words := _words(segment.words, segment.speaker))
    )
    end_ms = segments[-1].end_ms if segments else 0
    transcript = Transcript(
        media=Media(uri="draft", sha256="0" * 64, duration_ms=end_ms),
        provenance=Provenance(model_name="-", model_version="-", engine="-", code_version="-", normaliser="-"),
        language=language,
        speakers=tuple(Speaker(id=speaker.id, name=speaker.name or None) for speaker in excerpt.speakers),
        segments=segments,
        coverage=Coverage(speech_ms=0, covered_ms=0, redecoded_ms=0),
    )
    return [
        {
            "start_ms": cue.start_ms,
            "end_ms": cue.end_ms,
            "lines": [{"text": line.text, "speaker": line.speaker} for line in cue.lines],
            "exceeds": [str(limit) for limit in cue.exceeds],
        }
        for cue in Rendition(transcript, PROFILES.get(profile, BBC)).cues
    ]


def _words(words: Any, speaker: str | None) -> tuple[Word, ...]:
    return tuple(
        Word(
            text=text,
            start_ms=start_ms,
            end_ms=end_ms,
            confidence=None,
            speaker=speaker,
            timing=WordTiming.INTERPOLATED,
        )
        for text, start_ms, end_ms in words
        if text and start_ms is not None and end_ms is not None
    )


@dataclass(frozen=True)
class StoredObject:
    """A stored object that is read in pieces."""

    uri: str
    size: int

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Yield the bytes from `start` to `stop`, exclusive; by default all."""
        stop = self.size if stop is None else stop
        with storage.open_reader(self.uri) as reader:
            reader.seek(start)
            while start < stop and (data := reader.read(min(CHUNK_BYTES, stop - start))):
                start += len(data)
                yield data


def find_object(uri: str) -> StoredObject:
    """Raises InputRejected(NOT_FOUND)."""
    return StoredObject(uri, storage.info(uri).size)
