"""What reviews say, kept in the index: the latest line of each programme, and words that no recogniser wrote."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import structlog

from tasks.collector import paused_collector
from tasks.contract import InputRejected
from tasks.desk.index.schema import open_index
from tasks.desk.places import Place
from tasks.desk.review_log import ReviewLine
from tasks.desk.reviews import read_review
from tasks.desk.vocabulary import SpokenAt, Suggestion, Typed, suggestion, typed_in, words_of
from tasks.publishing.transcripts import read_published_transcript
from tasks.transcripts.normaliser import normalise
from tasks.transcripts.reviews.applied import apply

MAX_SUGGESTED = 200

log = structlog.get_logger()


@dataclass(frozen=True)
class Learned:
    """A programme's latest review, what the recogniser wrote there, and what the person typed."""

    line: ReviewLine
    written: frozenset[str]
    typed: tuple[Typed, ...]


def learn(transcripts: str, line: ReviewLine) -> Learned:
    """Read a review and the machine's transcript. Of a damaged one the line alone counts."""
    place = Place.of(transcripts, line.key)
    try:
        _, machine = read_published_transcript(place.manifest)
        person = apply(machine, read_review(transcripts, line.key, line.number))
    except (InputRejected, ValueError) as error:
        log.warning("no words are suggested from a review", programme=line.key, error=str(error))
        return Learned(line, frozenset(), ())
    return Learned(line, words_of(machine), tuple(typed_in(line.key, machine, person)))


def is_known(index: sqlite3.Connection, line: ReviewLine) -> bool:
    """Whether this review of the programme, or a later one, is in the index."""
    found = index.execute("SELECT number FROM reviews WHERE key = ?", (line.key,)).fetchone()
    return found is not None and found["number"] >= line.number


def keep(index: sqlite3.Connection, learned: Learned) -> None:
    """Put a programme's latest review in the place of the one before. Words that a recogniser now wrote are dropped."""
    line = learned.line
    index.execute("INSERT OR REPLACE INTO reviews VALUES (?, ?, ?)", (line.key, line.number, line.model_dump_json()))
    index.executemany("INSERT OR IGNORE INTO written VALUES (?)", [(word,) for word in sorted(learned.written)])
    index.executemany("DELETE FROM typed WHERE name = ?", [(word,) for word in sorted(learned.written)])
    index.execute("DELETE FROM typed WHERE key = ?", (line.key,))
    index.executemany(
        "INSERT INTO typed VALUES (?, ?, ?, ?, ?)",
        [
            (line.key, name, typed.phrase, typed.at.start_ms, typed.at.machine)
            for typed in learned.typed
            if not _is_written(index, name := normalise(typed.phrase))
        ],
    )


@paused_collector()
def latest_lines(folder: Path) -> list[ReviewLine]:
    """Return the latest review of each programme; none if there is no index yet."""
    index = open_index(folder)
    if index is None:
        return []
    try:
        return [ReviewLine.model_validate_json(row["line"]) for row in index.execute("SELECT line FROM reviews")]
    finally:
        index.close()


def suggest(folder: Path, vocabulary: Iterable[str] = (), limit: int = MAX_SUGGESTED) -> tuple[Suggestion, ...]:
    """Return the words that people typed in their latest reviews, that no recogniser wrote in any of these programmes
    and that the vocabulary does not have; most frequent first. None if there is no index yet."""
    index = open_index(folder)
    if index is None:
        return ()
    known = {normalise(phrase) for phrase in vocabulary}
    try:
        names = index.execute("SELECT name FROM typed GROUP BY name ORDER BY count(*) DESC, name")
        unknown = (name for (name,) in names if name not in known and not (" " in name and _is_written(index, name)))
        return tuple(suggestion(_typed(index, name)) for name in islice(unknown, limit))
    finally:
        index.close()


def _typed(index: sqlite3.Connection, name: str) -> list[Typed]:
    rows = index.execute("SELECT * FROM typed WHERE name = ? ORDER BY key, start_ms", (name,))
    return [Typed(row["phrase"], SpokenAt(row["key"], row["start_ms"], row["machine"])) for row in rows]


def _is_written(index: sqlite3.Connection, name: str) -> bool:
    """Whether recognisers wrote each word of a normalised name."""
    find = "SELECT 1 FROM written WHERE word = ?"
    return all(index.execute(find, (word,)).fetchone() for word in name.split())
