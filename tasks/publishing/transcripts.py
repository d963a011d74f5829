"""Publishing one transcript in every format under one prefix: written once, manifest last, one winner.

    <transcripts>/<programme>/<key12>/<programme>.json      the canonical transcript, first
                                     /<programme>.srt …     derived from it
                                     /<programme>.webm …    sound and waveform, for people who read it
                                     /manifest.json         last: marks the set as complete

Every object is put only if absent. The first canonical transcript decides the words; all other files are derived from
it. So publishers may race, be killed and start again: no object ever changes, and the manifest lists the published
files.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from pydantic import AwareDatetime, Field

from tasks import storage
from tasks.collector import paused_collector
from tasks.contract import Frozen, InputRejected, Reason, canonical_json
from tasks.publishing.sound import Sound
from tasks.storage.records import read_one
from tasks.storage.uris import quoted_name
from tasks.transcripts.cues.cutting import Limit
from tasks.transcripts.cues.profiles import BBC, CueProfile
from tasks.transcripts.document import Transcript
from tasks.transcripts.formats import FORMATS, render, stl
from tasks.transcripts.formats.rendition import Rendition

MANIFEST_NAME = "manifest.json"
CANONICAL_SUFFIX, STL_SUFFIX = ".json", ".stl"
KEY_DIGITS = 12
# EBU STL has few character tables. If more than this share of the characters has no code in them, the .stl file is not
# written: a file of question marks is of no use.
MAX_LOST_SHARE = 0.03


class PublishedFile(Frozen):
    """One published file."""

    name: str
    bytes: int
    sha256: str
    media_type: str


class CueCount(Frozen):
    """How many cues break a limit of their profile: cues for speech that is too fast are shown nevertheless."""

    profile: str
    total: int
    beyond: int = Field(description="cues that break a limit")
    limits: dict[Limit, int] = Field(description="the same by limit; a cue may break several")

    def __str__(self) -> str:
        named = ", ".join(f"{n} {limit}" for limit, n in self.limits.items())
        return f"{self.beyond} of {self.total} cues break a limit of {self.profile}: {named}"


class ReviewStamp(Frozen):
    """Which review a reviewed version is made of."""

    number: int
    author: str
    created_at: AwareDatetime
    finished: bool = Field(description="whether the whole programme was checked")


class TranscriptManifest(Frozen):
    """`manifest.json`: if it exists, all files that it lists do."""

    schema_version: int = 2
    programme: str
    key: str
    media: str
    media_sha256: str
    model: str
    canonical: str
    cues: CueCount
    files: tuple[PublishedFile, ...]
    remark: str = Field(default="", description="what a format cannot represent")
    review: ReviewStamp | None = Field(default=None, description="only in the manifest of a reviewed version")


def folder_of(transcripts: str, programme: str, key: str) -> str:
    """A transcript's folder. Media of the same name do not collide: their bytes, and so their keys, differ."""
    return storage.join(transcripts, quoted_name(programme, transcripts), key[:KEY_DIGITS])


def publish_transcript(
    transcript: Transcript,
    programme: str,
    key: str,
    transcripts: str,
    profile: CueProfile = BBC,
    sound: Sound | None = None,
) -> str:
    """Publish `transcript`, or complete what another publisher began. Returns the manifest's URI."""
    return publish_files(transcript, programme, key, folder_of(transcripts, programme, key), profile, sound=sound)


@paused_collector()
def publish_files(
    transcript: Transcript,
    programme: str,
    key: str,
    folder: str,
    profile: CueProfile,
    review: ReviewStamp | None = None,
    sound: Sound | None = None,
) -> str:
    """Publish `transcript` in every format into `folder`, or complete what was begun. Returns the manifest's URI."""
    manifest_uri = storage.join(folder, MANIFEST_NAME)
    if storage.exists(manifest_uri):
        return manifest_uri
    files = []
    canonical_name = programme + CANONICAL_SUFFIX
    own = transcript.to_bytes()
    published = put_if_absent(_uri(folder, canonical_name), own)
    files.append(_describe(canonical_name, published, FORMATS[CANONICAL_SUFFIX].media_type))
    winner = transcript if published == own else Transcript.from_bytes(published)
    rendition = Rendition(winner, profile)
    left_out, remark = check_stl(rendition)
    for name, media_type, data in render_derived(rendition, programme, left_out):
        files.append(_describe(name, put_if_absent(_uri(folder, name), data), media_type))
    if sound is not None:
        files += [_publish_file(folder, programme + suffix, kind, path) for suffix, kind, path in sound.files()]
    manifest = TranscriptManifest(
        programme=programme,
        key=key,
        media=winner.media.uri,
        media_sha256=winner.media.sha256,
        model=winner.provenance.model_version,
        canonical=canonical_name,
        cues=count_cues(rendition),
        files=tuple(files),
        remark=remark,
        review=review,
    )
    put_if_absent(manifest_uri, canonical_json(manifest.model_dump(mode="json", exclude_none=True)) + b"\n")
    return manifest_uri


@paused_collector()
def read_published_transcript(manifest_uri: str) -> tuple[TranscriptManifest, Transcript]:
    """Read a manifest and its canonical transcript.

    Raises:
        InputRejected: they are damaged or incomplete.
    """
    manifest = read_one(TranscriptManifest, manifest_uri)
    uri = _uri(storage.parent(manifest_uri), manifest.canonical)
    try:
        return manifest, Transcript.from_bytes(storage.read_bytes(uri))
    except ValueError as error:
        raise InputRejected(
            str(error), reason=Reason.CORRUPT, subject=uri, next_step="restore it, or delete its folder"
        ) from None


def count_cues(rendition: Rendition) -> CueCount:
    beyond = [cue.exceeds for cue in rendition.cues if cue.exceeds]
    limits = Counter(limit for exceeds in beyond for limit in exceeds)
    n_cues = len(rendition.cues)
    return CueCount(
        profile=rendition.profile.name, total=n_cues, beyond=len(beyond), limits=dict(sorted(limits.items()))
    )


def check_stl(rendition: Rendition) -> tuple[frozenset[str], str]:
    """Return the suffixes to leave out (.stl, if it lacks too many characters), and a remark if it lacks any."""
    n_lost = stl.count_lost_characters(rendition)
    n_characters = sum(len(word.text) for word in rendition.transcript.words)
    left_out = frozenset({STL_SUFFIX} if n_lost > MAX_LOST_SHARE * n_characters else ())
    consequence = "there is no .stl" if left_out else "the .stl shows others"
    return left_out, f"EBU STL has no {n_lost:,} of {n_characters:,} characters: {consequence}" if n_lost else ""


def render_derived(
    rendition: Rendition, programme: str, left_out: frozenset[str] = frozenset()
) -> Iterator[tuple[str, str, bytes]]:
    """Yield name, media type and bytes of each format but the canonical one."""
    suffixes = [suffix for suffix in FORMATS if suffix != CANONICAL_SUFFIX and suffix not in left_out]
    for format_, data in render(rendition, suffixes):
        yield programme + format_.suffix, format_.media_type, data


def put_if_absent(uri: str, data: bytes) -> bytes:
    """Put `data` unless the object exists. Return the bytes that are stored."""
    try:
        storage.write(uri, data, create=True)
    except storage.AlreadyExists:
        return storage.read_bytes(uri)
    return data


def _publish_file(folder: str, name: str, media_type: str, path: Path) -> PublishedFile:
    """Publish a file of a sound, and describe what is stored."""
    uri = _uri(folder, name)
    with contextlib.suppress(storage.AlreadyExists):
        storage.write(uri, path, create=True)
    return PublishedFile(name=name, bytes=storage.info(uri).size, sha256=storage.digest(uri), media_type=media_type)


def is_complete(manifest_uri: str) -> bool:
    """Whether every file in a manifest exists with its digest."""
    try:
        manifest = read_one(TranscriptManifest, manifest_uri)
        folder = storage.parent(manifest_uri)
        return all(storage.digest(_uri(folder, file.name)) == file.sha256 for file in manifest.files)
    except InputRejected:
        return False


def _uri(folder: str, name: str) -> str:
    return storage.join(folder, quoted_name(name, folder))


def _describe(name: str, data: bytes, media_type: str) -> PublishedFile:
    return PublishedFile(name=name, bytes=len(data), sha256=hashlib.sha256(data).hexdigest(), media_type=media_type)
