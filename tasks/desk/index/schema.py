"""Tables of the index, and how processes share it.

    <folder>/current             name of the database that is read
            /index-<id>.sqlite   the database, in WAL mode: readers never wait for a writer
            /lock                held by the process that rebuilds or refreshes

A rebuilt index is a new file to which `current` is renamed: SQLite finds its write-ahead log by the file's name, so a
database must not be replaced under that of an open one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import sqlite3
from collections.abc import Iterator
from pathlib import Path

# Raised when the tables change: an index of another version is made again.
SCHEMA_VERSION = 4
BUSY_S = 20.0  # a writer adds one night's programmes at a time

# `id` grows with the time at which a programme was transcribed: newest first is the order of rowids backwards, which
# FTS5 reads without sorting. `texts` holds what FTS5 needs to forget a row, and what excerpts are cut from.
# `reviews` has the latest of each programme, `written` what recognisers wrote in these programmes, and `typed` what
# people wrote there that no recogniser did.
# Marks (Mn, Mc) are part of words: otherwise vowel signs of Thai and Hindi would divide them.
TABLES = """
CREATE TABLE programmes (
    id INTEGER PRIMARY KEY, key TEXT UNIQUE, programme TEXT NOT NULL, media TEXT NOT NULL, media_sha256 TEXT NOT NULL,
    day TEXT NOT NULL, night TEXT NOT NULL, status TEXT NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL,
    model TEXT NOT NULL, language TEXT NOT NULL, duration_s REAL NOT NULL, words INTEGER NOT NULL,
    speakers INTEGER, confidence REAL, coverage REAL, is_current INTEGER NOT NULL,
    review INTEGER NOT NULL DEFAULT 0, finished INTEGER NOT NULL DEFAULT 0, reviewed_by TEXT NOT NULL DEFAULT '',
    reviewed_at TEXT NOT NULL DEFAULT '', errors INTEGER, reference_words INTEGER,
    rtfx REAL, cost REAL, compute_s REAL
);
CREATE INDEX of_media ON programmes (programme, media_sha256);
CREATE INDEX of_file ON programmes (media);
CREATE INDEX by_model ON programmes (model) WHERE is_current;
CREATE INDEX by_status ON programmes (status) WHERE is_current;
CREATE INDEX by_review ON programmes (review) WHERE is_current AND review;
CREATE INDEX by_day ON programmes (day) WHERE is_current;
CREATE INDEX by_night ON programmes (night) WHERE key IS NOT NULL;
CREATE TABLE texts (id INTEGER PRIMARY KEY, name TEXT NOT NULL, speakers TEXT NOT NULL, words BLOB NOT NULL);
CREATE TABLE reviews (key TEXT PRIMARY KEY, number INTEGER NOT NULL, line TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE written (word TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE typed (
    key TEXT NOT NULL, name TEXT NOT NULL, phrase TEXT NOT NULL, start_ms INTEGER NOT NULL, machine TEXT NOT NULL
);
CREATE INDEX typed_in ON typed (key);
CREATE INDEX typed_as ON typed (name);
CREATE TABLE seen (uri TEXT PRIMARY KEY, etag TEXT NOT NULL) WITHOUT ROWID;
CREATE VIRTUAL TABLE said USING fts5 (
    name, speakers, words, content='', tokenize="unicode61 remove_diacritics 2 categories 'L* N* Co Mn Mc'"
);
"""


def open_index(folder: Path) -> sqlite3.Connection | None:
    """Open the current index; None if there is none of this version."""
    try:
        name = (folder / "current").read_text().strip()
    except FileNotFoundError:
        return None
    if not (folder / name).exists():
        return None
    connection = _connect(folder / name)
    if connection.execute("PRAGMA user_version").fetchone()[0] != SCHEMA_VERSION:
        connection.close()
        return None
    return connection


@contextlib.contextmanager
def new_index(folder: Path) -> Iterator[sqlite3.Connection]:
    """Make an index. It becomes the current one when the block ends without an error, and the others are deleted."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"index-{secrets.token_hex(4)}.sqlite"
    connection = _connect(path)
    try:
        connection.executescript(TABLES)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        yield connection
        connection.commit()
        connection.close()
    except BaseException:
        connection.close()
        _delete(path)
        raise
    pointer = folder / f".current-{secrets.token_hex(4)}"
    pointer.write_text(path.name)
    os.replace(pointer, folder / "current")  # noqa: PTH105  it may replace an open file
    for other in folder.glob("index-*.sqlite"):
        if other != path:
            _delete(other)


@contextlib.contextmanager
def exclusive(folder: Path, wait: bool) -> Iterator[bool]:
    """Hold the lock of writers from storage. Yields whether it is held: without `wait`, another may have it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")  # a crash may lose the last rows: the next refresh reads them
    return connection


def _delete(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
