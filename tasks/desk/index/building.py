"""Making the index from storage, and bringing it up to date."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import structlog

from tasks import storage
from tasks.contract import InputRejected
from tasks.desk.index.reviewed import is_known, keep, learn
from tasks.desk.index.rows import (
    COLUMNS,
    IndexedProgramme,
    NightLine,
    ProgrammeRow,
    of_transcript,
    with_review,
    without_transcript,
)
from tasks.desk.index.schema import exclusive, new_index, open_index
from tasks.desk.index.words import spaced
from tasks.desk.places import Place
from tasks.desk.review_log import INDEX_NAME, REVIEWS_LOG, ReviewLine, latest_reviews
from tasks.publishing.transcripts import MANIFEST_NAME
from tasks.reporting.records import NIGHTS
from tasks.storage import ObjectInfo
from tasks.storage.records import read_lines

log = structlog.get_logger()


N_READERS = 16  # transcripts read at once: S3 answers after tens of milliseconds


def rebuild(transcripts: str, folder: Path) -> int:
    """Make the index of all transcripts under a prefix, from nothing. Return the number of programmes.

    The old index is read until the new one is complete. Lists every object below the prefix, and reads each transcript.
    """
    with exclusive(folder, wait=True), new_index(folder) as index:
        nights = list(_indices(transcripts, NIGHTS))
        reviews = list(_indices(transcripts, REVIEWS_LOG))
        lines = {line.transcript: (line, night) for line, night in _night_lines(nights) if line.transcript}
        done = {line.media for line, _ in lines.values()}
        failed = [
            (line, night) for line, night in _night_lines(nights) if not line.transcript and line.media not in done
        ]
        latest = latest_reviews(transcripts)

        def read(place: Place) -> IndexedProgramme | None:
            line, night = lines.get(place.folder, (None, ""))
            return _read_or_warn(place, line, night, latest.get(place.key))

        places = sorted(places_of(transcripts), key=lambda place: (lines.get(place.folder, (None, ""))[1], place.key))
        with ThreadPoolExecutor(N_READERS) as readers:
            add_programmes(index, filter(None, readers.map(read, places)))
            index.execute("BEGIN")
            for learned in readers.map(lambda line: learn(transcripts, line), latest.values()):
                keep(index, learned)
            index.execute("COMMIT")
        index.execute("BEGIN")
        for line, night in failed:
            _add_failed(index, without_transcript(line, night))
        index.executemany("INSERT INTO seen VALUES (?, ?)", [(found.uri, found.etag) for found in [*nights, *reviews]])
        index.execute("COMMIT")
        index.execute("INSERT INTO said (said) VALUES ('optimize')")
        return int(index.execute("SELECT count(*) FROM programmes").fetchone()[0])


def add_programmes(index: sqlite3.Connection, programmes: Iterable[IndexedProgramme]) -> None:
    """Add transcripts to a new index, oldest first."""
    index.execute("BEGIN")
    for indexed in programmes:
        _add(index, indexed)
    index.execute("COMMIT")


def refresh(transcripts: str, folder: Path) -> int:
    """Add the programmes of new nights and new reviews. Return how many rows changed.

    Lists `_nights` and `_reviews`, and reads what is new. Does nothing while another process is at it. Makes the index
    if there is none.
    """
    index = open_index(folder)
    if index is None:
        return rebuild(transcripts, folder)
    with exclusive(folder, wait=False) as is_held:
        if not is_held:
            return 0
        seen = {row["uri"]: row["etag"] for row in index.execute("SELECT uri, etag FROM seen")}
        changed = 0
        for found in _indices(transcripts, NIGHTS):
            if seen.get(found.uri) != found.etag:
                changed += _add_night(index, transcripts, found)
        for found in _indices(transcripts, REVIEWS_LOG):
            if seen.get(found.uri) != found.etag:
                lines = list(read_lines(ReviewLine, found.uri))
                changed += sum(_add_review(index, transcripts, line) for line in lines)
                _learn(index, transcripts, lines)
                _remember(index, found)
        index.close()
        return changed


def add_review(transcripts: str, folder: Path, line: ReviewLine) -> None:
    """Index a review that was just saved; nothing if there is no index yet, or not the transcript in it."""
    if (index := open_index(folder)) is not None:
        _add_review(index, transcripts, line)
        index.close()


def _indices(transcripts: str, name: str) -> Iterator[ObjectInfo]:
    """The lists of nights, or of days of reviews, oldest first."""
    listed = storage.list_objects(storage.join(transcripts, name))
    found = (item for item in listed if storage.name_of(item.uri) == INDEX_NAME)
    return iter(sorted(found, key=lambda item: _time(item.uri)))


def _time(index_uri: str) -> str:
    """`2026-03-24-ab12cd34` and `arrivals-2026-03-24T10-…` in the order of time."""
    return storage.name_of(storage.parent(index_uri)).removeprefix("arrivals-")


def _night_lines(nights: Iterable[ObjectInfo]) -> Iterator[tuple[NightLine, str]]:
    for found in nights:
        night = _time(found.uri)
        with storage.open_reader(found.uri) as file:
            for line in file:
                yield NightLine.model_validate_json(line), night


def places_of(transcripts: str) -> Iterator[Place]:
    """The places of all transcripts whose manifest exists."""
    for found in storage.list_objects(transcripts):
        parts = found.uri.removeprefix(transcripts.rstrip("/") + "/").split("/")
        if len(parts) == 3 and parts[2] == MANIFEST_NAME:
            try:
                yield Place.of_folder(transcripts, storage.parent(found.uri))
            except InputRejected:  # a reserved name: not a transcript
                continue


def _read_or_warn(
    place: Place, line: NightLine | None, night: str, review: ReviewLine | None
) -> IndexedProgramme | None:
    try:
        return of_transcript(place, line, night, review)
    except (InputRejected, ValueError, KeyError) as error:
        log.warning("a transcript is not in the search index", transcript=place.folder, error=str(error))
        return None


def _add_night(index: sqlite3.Connection, transcripts: str, found: ObjectInfo) -> int:
    lines = list(_night_lines([found]))
    read = [
        _read_or_warn(Place.of_folder(transcripts, line.transcript), line, night, None)
        if line.transcript
        else without_transcript(line, night)
        for line, night in lines
    ]
    index.execute("BEGIN IMMEDIATE")
    for (line, _), indexed in zip(lines, read, strict=True):
        if indexed and indexed.row.key:
            _forget_failures(index, line.media)  # of a copy, the transcript names the other file
            _add(index, indexed)
        elif indexed:
            _add_failed(index, indexed)
    _remember(index, found)
    index.execute("COMMIT")
    return len(read)


def _remember(index: sqlite3.Connection, found: ObjectInfo) -> None:
    index.execute("INSERT OR REPLACE INTO seen VALUES (?, ?)", (found.uri, found.etag))


def _add(index: sqlite3.Connection, indexed: IndexedProgramme) -> None:
    """Add a transcript unless it is there, and choose which of its media is shown."""
    row = indexed.row
    if index.execute("SELECT 1 FROM programmes WHERE key = ?", (row.key,)).fetchone():
        return
    _forget_failures(index, row.media)
    _insert(index, indexed)
    _choose_current(index, row.programme, row.media_sha256)


def _forget_failures(index: sqlite3.Connection, media: str) -> None:
    for failed in index.execute("SELECT id FROM programmes WHERE media = ? AND key IS NULL", (media,)).fetchall():
        _forget(index, failed["id"])


def _add_failed(index: sqlite3.Connection, indexed: IndexedProgramme) -> None:
    """Add a programme that was not transcribed, in place of an earlier failure, unless it was transcribed since."""
    for other in index.execute(
        "SELECT id, key, night FROM programmes WHERE media = ?", (indexed.row.media,)
    ).fetchall():
        if other["key"] or other["night"] > indexed.row.night:
            return
        _forget(index, other["id"])
    _insert(index, indexed)


def _insert(index: sqlite3.Connection, indexed: IndexedProgramme, number: int | None = None) -> None:
    values = {**indexed.row.values, "id": number, "is_current": True}
    names = ("id", "is_current", *COLUMNS)
    marks = ", ".join(f":{name}" for name in names)
    cursor = index.execute(f"INSERT INTO programmes ({', '.join(names)}) VALUES ({marks})", values)
    number, names = cursor.lastrowid, (indexed.row.programme, indexed.speaker_names)
    index.execute("INSERT INTO texts VALUES (?, ?, ?, ?)", (number, *names, zlib.compress(indexed.words.encode())))
    searched = map(spaced, (*names, indexed.words))
    index.execute("INSERT INTO said (rowid, name, speakers, words) VALUES (?, ?, ?, ?)", (number, *searched))


def _forget(index: sqlite3.Connection, number: int) -> None:
    text = index.execute("SELECT * FROM texts WHERE id = ?", (number,)).fetchone()
    old = map(spaced, (text["name"], text["speakers"], zlib.decompress(text["words"]).decode()))
    index.execute("INSERT INTO said (said, rowid, name, speakers, words) VALUES ('delete', ?, ?, ?, ?)", (number, *old))
    index.execute("DELETE FROM texts WHERE id = ?", (number,))
    index.execute("DELETE FROM programmes WHERE id = ?", (number,))


def _add_review(index: sqlite3.Connection, transcripts: str, line: ReviewLine) -> bool:
    """Put a person's words in the place of the machine's. Return whether the row changed."""
    place = Place.of(transcripts, line.key)
    index.execute("BEGIN IMMEDIATE")
    try:
        found = index.execute("SELECT * FROM programmes WHERE key = ?", (line.key,)).fetchone()
        if found is None or found["review"] >= line.number:
            return False
        row = ProgrammeRow(**{name: found[name] for name in COLUMNS})
        indexed = with_review(place, row, line)
        _forget(index, found["id"])
        _insert(index, indexed, found["id"])
        _choose_current(index, row.programme, row.media_sha256)
        return True
    except InputRejected as error:
        log.warning("a review is not in the search index", review=place.review(line.number), error=str(error))
        return False
    finally:
        index.execute("COMMIT")


def _learn(index: sqlite3.Connection, transcripts: str, lines: Iterable[ReviewLine]) -> None:
    """Keep what new reviews say."""
    for line in lines:
        if not is_known(index, line):
            learned = learn(transcripts, line)
            index.execute("BEGIN IMMEDIATE")
            keep(index, learned)
            index.execute("COMMIT")


def _choose_current(index: sqlite3.Connection, programme: str, media_sha256: str) -> None:
    """Of the transcripts of one media the reviewed one is shown, else the newest: no model hides a person's words."""
    group = (programme, media_sha256)
    rows = index.execute(
        "SELECT id FROM programmes WHERE programme = ? AND media_sha256 = ? ORDER BY reviewed_at, id", group
    ).fetchall()
    index.execute("UPDATE programmes SET is_current = 0 WHERE programme = ? AND media_sha256 = ?", group)
    index.execute("UPDATE programmes SET is_current = 1 WHERE id = ?", (rows[-1]["id"],))
