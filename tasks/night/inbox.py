"""Listing the inbox: which files are media, the programmes' names, and which files are still being uploaded."""

from __future__ import annotations

import contextlib
import time
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from tasks import storage
from tasks.contract import InputRejected, digest_of
from tasks.night.ledger import ARRIVAL_DIGITS
from tasks.night.records import Arrival
from tasks.storage import ObjectInfo

# Files beside media: transcripts, captions, descriptions, pictures, checksums.
SIDECAR_SUFFIXES = frozenset(
    [
        ".txt",
        ".srt",
        ".vtt",
        ".ttml",
        ".dfxp",
        ".itt",
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
# Suffixes that programs give to unfinished files.
UNFINISHED_SUFFIXES = frozenset(
    [".part", ".partial", ".tmp", ".temp", ".crdownload", ".download", ".filepart", ".!ut", ".aria2"]
)
VOCABULARY_SUFFIX = ".vocabulary.txt"
CHANNEL_VOCABULARY = "_vocabulary.txt"  # not part of an arrival: a word more must not transcribe the inbox again
MAX_NAME_BYTES = 100


@dataclass(frozen=True)
class Listing:
    """The files of the inbox."""

    media: list[ObjectInfo]
    """Files that may be media, including unfinished ones. Left out are sidecars and files that are hidden or in hidden
    folders: rsync's partial files, trash cans, snapshots."""
    vocabularies: dict[str, ObjectInfo]
    """Lists of words, by their media's URI without suffix, with composed letters."""
    links: list[str] = field(default_factory=list)
    """Symbolic links that were not followed."""

    def vocabulary_of(self, media: ObjectInfo) -> ObjectInfo | None:
        """`news.vocabulary.txt` belongs to `news.mp4`."""
        return self.vocabularies.get(_composed(media.uri.removesuffix(PurePosixPath(media.uri).suffix)))


def list_inbox(inbox: str) -> Listing:
    """List the inbox."""
    listing = Listing([], {})
    for file in storage.list_objects(inbox, listing.links):
        name = storage.name_of(file.uri)
        if storage.is_hidden(file.uri, inbox):
            continue
        if file.uri.lower().endswith(VOCABULARY_SUFFIX):
            listing.vocabularies[_composed(file.uri[: -len(VOCABULARY_SUFFIX)])] = file
        elif suffix(name) not in SIDECAR_SUFFIXES:
            listing.media.append(file)
    return listing


def list_announced(uris: Iterable[str], inbox: str) -> Listing:
    """List announced objects. Objects outside the inbox, and those that are gone, are left out."""
    listing = Listing([], {})
    root = storage.canonical(inbox.rstrip("/"))
    for uri in dict.fromkeys(map(storage.canonical, uris)):
        if not storage.is_inside(uri, root) or storage.is_hidden(uri, root):
            continue
        if suffix(storage.name_of(uri)) in SIDECAR_SUFFIXES:
            continue
        with contextlib.suppress(InputRejected):
            listing.media.append(storage.info(uri))
            stem = uri.removesuffix(PurePosixPath(uri).suffix)
            if vocabulary := _announced_vocabulary(stem, root):
                listing.vocabularies[_composed(stem)] = vocabulary
    return listing


def _announced_vocabulary(stem: str, root: str) -> ObjectInfo | None:
    """The list of words beside announced media, in whichever form its name is written."""
    is_encoded = stem.startswith("file://")
    scheme, path = stem[: stem.index("//") + 2], stem[stem.index("//") + 2 :]
    forms = (path, *(storage.in_form(path, form, is_encoded=is_encoded) for form in ("NFC", "NFD")))
    for form in dict.fromkeys(forms):
        uri = f"{scheme}{form}{VOCABULARY_SUFFIX}"
        with contextlib.suppress(InputRejected):
            if storage.is_inside(uri, root):
                return storage.info(uri)
    return None


def _composed(uri: str) -> str:
    """The URI with composed letters: media and their lists may come from different systems."""
    return storage.in_form(uri, "NFC", is_encoded=uri.startswith("file://"))


def suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def channel_vocabulary(inbox: str) -> ObjectInfo | None:
    """The list of words for every programme of an inbox, `_vocabulary.txt` in it; None if there is none."""
    root = storage.canonical(inbox.rstrip("/"))
    uri = storage.join(root, CHANNEL_VOCABULARY)
    return _info(uri) if storage.is_inside(uri, root) else None


def make_arrival(file: ObjectInfo, inbox: str, vocabulary: ObjectInfo | None = None) -> Arrival:
    identity = {"uri": file.uri, "size": file.size, "etag": file.etag}
    if vocabulary:
        identity["vocabulary"] = vocabulary.etag
    return Arrival(
        id=digest_of(identity)[:ARRIVAL_DIGITS],
        programme=programme_name(file.uri, inbox),
        uri=file.uri,
        n_bytes=file.size,
        etag=file.etag,
        vocabulary=vocabulary.uri if vocabulary else "",
    )


def programme_name(uri: str, inbox: str) -> str:
    """Return a name for folders and objects: the file's, prefixed with its folders in the inbox.

    Letters and digits of every script stay, anything else becomes a dash. The name is never empty, hidden or reserved:
    reserved names start with an underscore, and `manifest.json` is one of a transcript's files.
    """
    folders = storage.parent(uri).removeprefix(inbox.rstrip("/")).strip("/")
    parts = [storage.name_of(f"{_scheme(uri)}{part}") for part in folders.split("/") if part]
    stem = PurePosixPath(storage.name_of(uri)).stem
    # Bytes that are not valid in the file name's encoding become dashes too.
    raw = unicodedata.normalize("NFC", "-".join([*parts, stem]).encode("utf-8", "replace").decode())
    name = "".join(c if c.isalnum() or c in "._-" else "-" for c in raw)
    while "--" in name:
        name = name.replace("--", "-")
    name = _truncate(name.strip("._-")) or "programme"
    return "programme-manifest" if name.lower() == "manifest" else name


def _scheme(uri: str) -> str:
    return uri[: uri.index("//") + 2]


def _truncate(name: str) -> str:
    return name.encode()[:MAX_NAME_BYTES].decode(errors="ignore").rstrip("._-")


def wait_for_uploads(files: Sequence[ObjectInfo], settle_s: float) -> tuple[list[ObjectInfo], list[ObjectInfo]]:
    """Split files into complete ones and those still being uploaded.

    Objects in S3 appear whole. A local file that was modified within the last `settle_s` seconds is checked a second
    time, when the youngest of them is that old: a file that changed or vanished meanwhile is still being uploaded.
    """
    uploading = [o for o in files if suffix(storage.name_of(o.uri)) in UNFINISHED_SUFFIXES]
    unfinished = {o.uri for o in uploading}
    ages_s = {o.uri: _age_s(o) for o in files if o.uri not in unfinished}
    young = {uri for uri, age_s in ages_s.items() if age_s < settle_s}
    if young:
        time.sleep(max(0.0, settle_s - max(0.0, min(ages_s[uri] for uri in young))))
    uploading += [o for o in files if o.uri in young and _info(o.uri) != o]
    incomplete = {o.uri for o in uploading}
    return [o for o in files if o.uri not in incomplete], uploading


def _info(uri: str) -> ObjectInfo | None:
    try:
        return storage.info(uri)
    except InputRejected:
        return None


def _age_s(file: ObjectInfo) -> float:
    """Seconds since a file was modified; infinite for objects in S3, which are never seen half-written."""
    if not file.uri.startswith("file://"):
        return float("inf")
    try:
        return time.time() - storage.path_of(file.uri).stat().st_mtime
    except OSError:
        return 0.0
