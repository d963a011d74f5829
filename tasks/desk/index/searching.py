"""Searching the index: what the list of transcripts shows."""

from __future__ import annotations

import re
import sqlite3
import unicodedata
import zlib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tasks.contract import Misconfigured, Reason
from tasks.desk.index.rows import COLUMNS, ProgrammeRow
from tasks.desk.index.schema import open_index
from tasks.desk.index.words import SPACELESS, is_spaceless, spaced

MAX_PAGE_SIZE = 200
# Counting goes on to here: a frequent word is in every programme, and nobody turns a thousand pages.
MAX_COUNTED = 1_000
MAX_QUERY_CHARACTERS = 500
EXCERPT_CHARACTERS = 80
# Shorter terms are whole words: what begins with two letters took 750 ms in 100,000 programmes, and is of no use.
MIN_BEGINNING = 3

_TERM = re.compile(r'"([^"]*)"?|(\S+)')


class Reviewed(StrEnum):
    """Whether people have corrected a programme."""

    YES = "yes"
    NO = "no"
    FINISHED = "finished"


@dataclass(frozen=True)
class Query:
    """What to find. Empty fields do not filter; all others must match.

    Terms are words, from three letters on by their beginnings, or phrases in double quotes; case and accents do not
    matter.
    """

    anywhere: str = ""
    """Terms in the name, a speaker's name or the words said."""
    name: str = ""
    speaker: str = ""
    words: str = ""
    first_day: str = ""
    """`2026-03-01`, inclusive."""
    last_day: str = ""
    status: str = ""
    model: str = ""
    min_confidence: float | None = None
    max_confidence: float | None = None
    reviewed: Reviewed | None = None
    page: int = 1
    page_size: int = 50


@dataclass(frozen=True)
class Excerpt:
    """Where a term of the query was said."""

    before: str
    match: str
    after: str


@dataclass(frozen=True, kw_only=True)
class Hit(ProgrammeRow):
    """A programme of the list: the transcript that is shown of its media."""

    excerpt: Excerpt | None

    @property
    def error_rate(self) -> float | None:
        """Errors of the machine's words per word of the person's."""
        return (self.errors or 0) / self.reference_words if self.reference_words else None


@dataclass(frozen=True)
class Page:
    """One page of results, newest first."""

    hits: tuple[Hit, ...]
    total: int
    """At most `MAX_COUNTED`."""
    has_more_than_total: bool
    page: int
    page_size: int


@dataclass(frozen=True)
class Filters:
    """What there is to filter by."""

    statuses: tuple[str, ...]
    models: tuple[str, ...]
    n_programmes: int


def search(folder: Path, query: Query) -> Page:
    """Find programmes, newest first. `folder`: of the index.

    Raises:
        Misconfigured: there is no index yet.
    """
    size, page = min(max(query.page_size, 1), MAX_PAGE_SIZE), max(query.page, 1)
    match, conditions, values = _match(query), *_conditions(query)
    if match and len(conditions) > 1:
        # The filters as a set of ids: a join would read the row of every programme with the word. `+` keeps SQLite from
        # searching the words once for each id.
        source, order = "said CROSS JOIN programmes p ON p.id = said.rowid", "said.rowid"
        kept = f"+said.rowid IN (SELECT p.id FROM programmes p WHERE {' AND '.join(conditions)})"
        conditions, values = ["said MATCH ?", kept], [match, *values]
    elif match:
        # CROSS: the words come first. By an index of programmes first, SQLite would search the words once for each.
        source, order = "said CROSS JOIN programmes p ON p.id = said.rowid", "said.rowid"
        conditions, values = ["said MATCH ?", *conditions], [match, *values]
    else:
        source, order = "programmes p", "p.id"
    where = f"FROM {source} WHERE {' AND '.join(conditions)}"
    index = _open(folder)
    try:
        rows = index.execute(
            f"SELECT p.* {where} ORDER BY {order} DESC LIMIT ? OFFSET ?", (*values, size, (page - 1) * size)
        ).fetchall()
        counted = index.execute(f"SELECT count(*) FROM (SELECT 1 {where} LIMIT {MAX_COUNTED + 1})", values).fetchone()[
            0
        ]
        hits = tuple(_hit(index, row, query) for row in rows)
    finally:
        index.close()
    return Page(hits, min(counted, MAX_COUNTED), counted > MAX_COUNTED, page, size)


def filters(folder: Path) -> Filters:
    """Return the statuses and models of the programmes. Raises Misconfigured if there is no index yet."""
    index = _open(folder)
    try:
        statuses, models = (
            tuple(
                row[0] for row in index.execute(f"SELECT DISTINCT {column} FROM programmes WHERE is_current ORDER BY 1")
            )
            for column in ("status", "model")
        )
        n_programmes = index.execute("SELECT count(*) FROM programmes WHERE is_current").fetchone()[0]
        return Filters(statuses, tuple(filter(None, models)), n_programmes)
    finally:
        index.close()


def _open(folder: Path) -> sqlite3.Connection:
    index = open_index(folder)
    if index is None:
        raise Misconfigured(
            "there is no search index",
            reason=Reason.NOT_FOUND,
            subject=str(folder),
            next_step="make it: python -m tasks index-transcripts",
        )
    return index


def terms(text: str) -> list[str]:
    """Split what a person typed into words and quoted phrases; marks alone are dropped."""
    found = (phrase or word for phrase, word in _TERM.findall(text[:MAX_QUERY_CHARACTERS]))
    return [term for term in found if any(map(str.isalnum, term))]


def _match(query: Query) -> str:
    """The query in FTS5's language. Every term is quoted: nothing that a person types is an operator."""
    fields = {"": query.anywhere, "name : ": query.name, "speakers : ": query.speaker, "words : ": query.words}
    parts = []
    for column, text in fields.items():
        for term in terms(text):
            quoted = '"' + spaced(term).replace('"', '""').replace("\x00", "") + '"'
            parts.append(f"{column}{quoted}{' *' if _is_beginning(term) else ''}")
    return " AND ".join(parts)


def _is_beginning(term: str) -> bool:
    return " " not in term and len(term) >= MIN_BEGINNING


def _conditions(query: Query) -> tuple[list[str], list[object]]:
    given: list[tuple[str, object]] = [
        ("p.day >= ?", query.first_day or None),
        ("p.day <= ?", query.last_day or None),
        ("p.status = ?", query.status or None),
        ("p.model = ?", query.model or None),
        ("p.confidence >= ?", query.min_confidence),
        ("p.confidence <= ?", query.max_confidence),
    ]
    conditions = ["p.is_current"] + [condition for condition, value in given if value is not None]
    if query.reviewed:
        tests = {Reviewed.YES: "p.review > 0", Reviewed.NO: "p.review = 0 AND p.key IS NOT NULL"}
        conditions.append(tests.get(query.reviewed, "p.finished"))
    return conditions, [value for _, value in given if value is not None]


def _hit(index: sqlite3.Connection, row: sqlite3.Row, query: Query) -> Hit:
    values = {name: row[name] for name in COLUMNS} | {"finished": bool(row["finished"])}
    return Hit(**values, excerpt=_excerpt(index, row["id"], [*terms(query.words), *terms(query.anywhere)]))


def _excerpt(index: sqlite3.Connection, number: int, wanted: list[str]) -> Excerpt | None:
    """The first place where one of the terms was said."""
    if not wanted:
        return None
    data = index.execute("SELECT words FROM texts WHERE id = ?", (number,)).fetchone()["words"]
    text = zlib.decompress(data).decode()
    pattern = "|".join(map(_pattern, wanted))
    # Folding one character at a time keeps positions.
    folded = text.translate({ord(c): _folded(c)[:1] or " " for c in set(text)})
    found = re.search(pattern, folded)
    if not found:
        return None
    start, end = found.span()
    before = text[max(0, start - EXCERPT_CHARACTERS) : start]
    after = text[end : end + EXCERPT_CHARACTERS]
    if start > EXCERPT_CHARACTERS:
        before = before.partition(" ")[2]
    if len(text) - end > EXCERPT_CHARACTERS:
        after = after.rpartition(" ")[0]
    return Excerpt(before, text[start:end], after)


def _pattern(term: str) -> str:
    """A term as it stands in a folded text. Words begin after a space or a mark, where their script has them."""
    parts = [re.escape(_folded(part)) for part in spaced(term).split()]
    if is_spaceless(term):
        return r"\W*".join(parts)
    return rf"(?<![^\W{SPACELESS}])" + r"\W+".join(parts)


def _folded(text: str) -> str:
    """Without case and accents, as FTS5's tokeniser compares."""
    return "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
