"""The inbox as a listing shows it: which files are media, what they are called, which are still being written."""

from __future__ import annotations

import contextlib
import time
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from tasks import storage
from tasks.contract import InputRejected, digest_of
from tasks.night.ledger import ARRIVAL_DIGITS
from tasks.night.records import Arrival
from tasks.storage import ObjectInfo

# What lies beside media and is none: transcripts, captions, descriptions, pictures, checksums.
COMPANION_SUFFIXES = frozenset(
    [
        ".txt",
        ".srt",
        ".vtt",
        ".ttml",
        ".dfxp",
        ".stl",
        ".scc",
        ".ass",
        ".sub",
        ".rttm",
        ".ctm",
        ".json",
        ".jsonl",
        ".xml",
        ".yaml",
        ".yml",
        ".csv",
        ".tsv",
        ".md",
        ".nfo",
        ".log",
        ".pdf",
        ".doc",
        ".docx",
        ".html",
        ".jpg",
        ".jpeg",
        ".png",
        ".gif",
        ".md5",
        ".sha1",
        ".sha256",
        ".sfv",
        ".db",
        ".ini",
        ".url",
    ]
)
# Names that programs give to what they have not finished writing.
UNFINISHED_SUFFIXES = frozenset(
    [".part", ".partial", ".tmp", ".temp", ".crdownload", ".download", ".filepart", ".!ut", ".aria2"]
)
VOCABULARY_SUFFIX = ".vocabulary.txt"
LONGEST_NAME_BYTES = 100


@dataclass(frozen=True)
class Listing:
    """What lies in the inbox."""

    media: list[ObjectInfo]
    """Files that may be media, unfinished ones too. Passed over are companions, and what is hidden or lies in a hidden
    folder: rsync's half files, a trash can, snapshots."""
    vocabularies: dict[str, ObjectInfo]
    """Lists of words, by the URI of their media without its suffix."""

    def vocabulary_of(self, found: ObjectInfo) -> ObjectInfo | None:
        """`news.vocabulary.txt` belongs to `news.mp4`."""
        return self.vocabularies.get(found.uri.removesuffix(PurePosixPath(found.uri).suffix))


def look(inbox: str) -> Listing:
    """List the inbox."""
    listing = Listing([], {})
    for found in storage.list_objects(inbox):
        name = storage.name_of(found.uri)
        if storage.is_hidden(found.uri, inbox):
            continue
        if found.uri.endswith(VOCABULARY_SUFFIX):
            listing.vocabularies[found.uri.removesuffix(VOCABULARY_SUFFIX)] = found
        elif suffix(name) not in COMPANION_SUFFIXES:
            listing.media.append(found)
    return listing


def look_at(uris: Iterable[str], inbox: str) -> Listing:
    """The same for objects whose names are known. What lies elsewhere, or is gone, is passed over."""
    listing = Listing([], {})
    for uri in uris:
        name = storage.name_of(uri)
        inside = uri.startswith(inbox.rstrip("/") + "/") and ".." not in uri.split("/")
        if not inside or storage.is_hidden(uri, inbox) or suffix(name) in COMPANION_SUFFIXES:
            continue
        with contextlib.suppress(InputRejected):
            listing.media.append(storage.info(uri))
            stem = uri.removesuffix(PurePosixPath(uri).suffix)
            listing.vocabularies[stem] = storage.info(stem + VOCABULARY_SUFFIX)
    return listing


def suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def arrival_of(found: ObjectInfo, inbox: str, vocabulary: ObjectInfo | None = None) -> Arrival:
    identity = {"uri": found.uri, "size": found.size, "etag": found.etag}
    if vocabulary:
        identity["vocabulary"] = vocabulary.etag
    return Arrival(
        arrival=digest_of(identity)[:ARRIVAL_DIGITS],
        programme=programme_name(found.uri, inbox),
        uri=found.uri,
        n_bytes=found.size,
        etag=found.etag,
        vocabulary=vocabulary.uri if vocabulary else "",
    )


def programme_name(uri: str, inbox: str) -> str:
    """A name for folders and objects: the file's, with its folders in the inbox before it.

    Letters and digits of every script stay, anything else becomes a dash. Never empty, hidden, or one of ours: those
    begin with an underscore, and `manifest.json` lies beside a transcript's files.
    """
    folders = storage.parent(uri).removeprefix(inbox.rstrip("/")).strip("/")
    parts = [storage.name_of(f"{_scheme(uri)}{part}") for part in folders.split("/") if part]
    stem = PurePosixPath(storage.name_of(uri)).stem
    # What a file name holds outside its encoding becomes a dash too.
    raw = unicodedata.normalize("NFC", "-".join([*parts, stem]).encode("utf-8", "replace").decode())
    name = "".join(c if c.isalnum() or c in "._-" else "-" for c in raw)
    while "--" in name:
        name = name.replace("--", "-")
    name = _cut(name.strip("._-")) or "programme"
    return "programme-manifest" if name.lower() == "manifest" else name


def _scheme(uri: str) -> str:
    return uri[: uri.index("//") + 2]


def _cut(name: str) -> str:
    return name.encode()[:LONGEST_NAME_BYTES].decode(errors="ignore").rstrip("._-")


def wait_for_uploads(found: Sequence[ObjectInfo], settle_s: float) -> tuple[list[ObjectInfo], list[ObjectInfo]]:
    """What has settled, and what is still being written: two looks, `settle_s` apart.

    Objects in S3 appear whole. A file on a folder is looked at twice if it was changed within the last `settle_s`
    seconds: the second look waits until the youngest of them is that old. What has changed by then, or vanished, is
    still being written.
    """
    growing = [o for o in found if suffix(storage.name_of(o.uri)) in UNFINISHED_SUFFIXES]
    unfinished = {o.uri for o in growing}
    ages_s = {o.uri: _age_s(o) for o in found if o.uri not in unfinished}
    young = {uri for uri, age_s in ages_s.items() if age_s < settle_s}
    if young:
        time.sleep(max(0.0, settle_s - max(0.0, min(ages_s[uri] for uri in young))))
    growing += [o for o in found if o.uri in young and _look(o.uri) != o]
    still = {o.uri for o in growing}
    return [o for o in found if o.uri not in still], growing


def _look(uri: str) -> ObjectInfo | None:
    try:
        return storage.info(uri)
    except InputRejected:
        return None


def _age_s(found: ObjectInfo) -> float:
    """Seconds since a file was changed; what cannot be seen half-written is as old as can be."""
    if not found.uri.startswith("file://"):
        return float("inf")
    try:
        return time.time() - storage.path_of(found.uri).stat().st_mtime
    except OSError:
        return 0.0
