"""Pair the media of a corpus with their transcripts, in a temporary SQLite file.

A listing of a million objects is sorted and joined on disk, so memory does not grow with the corpus.
"""

from __future__ import annotations

import posixpath
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from tasks import storage
from tasks.contract import InputRejected
from tasks.corpus.captions import TRANSCRIPT_EXTENSIONS
from tasks.corpus.captions.jsonlines import MANIFEST_EXTENSIONS, ManifestEntry, read_entries
from tasks.corpus.captions.reader import XML_EXTENSION
from tasks.corpus.inventory.identity import (
    MEDIA_EXTENSIONS,
    broadcast_date,
    hash64,
    programme_id,
    relative_path,
    split_extension,
    stems_of_transcript,
)
from tasks.corpus.inventory.other_xml import other_xml
from tasks.corpus.inventory.planning import SPLIT_CODES
from tasks.corpus.inventory.reviewed import ReviewedProgramme
from tasks.corpus.records import Supervision
from tasks.dataset.manifest import Split
from tasks.media.container.duration_estimate import estimate_duration_s
from tasks.storage import ObjectInfo

CACHE_KIB = 64 << 10
BATCH = 5000
MAX_LISTED_PROBLEMS = 100  # of one manifest; a wrong folder in it makes every line a problem

# `composed` is the stem with composed letters (NFC) and a slash before it, NULL for plain ones: media and captions may
# come from systems that write "é" differently. Transcripts have a second row for that.
_TABLES = """
CREATE TABLE media (stem TEXT, uri TEXT, size INTEGER, etag TEXT, composed TEXT);
CREATE TABLE transcript (stem TEXT, rank INTEGER, stem_rank INTEGER, uri TEXT, etag TEXT);
CREATE TABLE entry (media TEXT, start_s REAL, end_s REAL, text TEXT, speaker TEXT, language TEXT, manifest TEXT);
CREATE TABLE earlier (programme_id TEXT PRIMARY KEY, shard INTEGER, split INTEGER) WITHOUT ROWID;
"""
# One programme per stem: of several renditions, one listed in a manifest, else the largest.
_PROGRAMMES = """
CREATE INDEX entry_media ON entry (media);
CREATE TABLE programme AS
WITH ranked AS (
  SELECT m.*, row_number() OVER (
    PARTITION BY m.stem
    ORDER BY EXISTS (SELECT 1 FROM entry WHERE entry.media = m.uri) DESC, m.size DESC, m.uri) AS rendition_rank
  FROM media m)
SELECT programme_id(r.stem) AS id, r.stem, r.uri AS media, r.size, r.etag, r.rendition_rank,
  (SELECT manifest FROM entry WHERE entry.media = r.uri LIMIT 1) AS manifest,
  coalesce(
    (SELECT t.rowid FROM transcript t WHERE t.stem = r.stem ORDER BY t.rank, t.stem_rank, t.uri LIMIT 1),
    (SELECT t.rowid FROM transcript t WHERE t.stem = r.composed ORDER BY t.rank, t.stem_rank, t.uri LIMIT 1)
  ) AS transcript,
  -1 AS shard, -1 AS split
FROM ranked r;
CREATE INDEX programme_id ON programme (id);
"""
_USED = "rendition_rank = 1 AND (manifest IS NOT NULL OR transcript IS NOT NULL)"  # the programmes that are used
# Whether a row of `transcript t` has the stem of a medium.
_BESIDE_MEDIA = """(EXISTS (SELECT 1 FROM media WHERE media.stem = t.stem)
  OR EXISTS (SELECT 1 FROM media WHERE media.composed = t.stem))"""


@dataclass(frozen=True)
class PlannedProgramme:
    """A programme of the inventory with its shard and split."""

    programme_id: str
    media: str
    size: int
    etag: str
    transcript: str
    transcript_etag: str
    shard: int
    split: int
    supervisions: tuple[Supervision, ...]


@dataclass(frozen=True)
class Candidate:
    """A programme as input to planning."""

    rowid: int
    weight: int
    group: int
    date_group: int
    earlier_shard: int
    earlier_split: int


class Inventory:
    """Filled by `add` for every object of a listing, then `pair`; read after that."""

    def __init__(self, path: Path, root: str, language: str) -> None:
        self._root, self._language = root, language
        self._is_encoded = root.startswith("file://")
        self._pending_media: list[tuple[str, str, int, str, str | None]] = []
        self._pending_transcripts: list[tuple[str, int, int, str, str]] = []
        self.n_objects = self.n_ignored = self.n_manifest_problems = 0
        self.passed_over: list[str] = []
        """XML beside media that would be the transcript by its name, but is not TTML."""
        self.links: list[str] = []
        """Symbolic links that were not followed."""
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.executescript(
            f"PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA temp_store=FILE; PRAGMA cache_size=-{CACHE_KIB};"
            + _TABLES
        )
        self._database.create_function("programme_id", 1, self._programme_id, deterministic=True)

    def close(self) -> None:
        self._database.close()

    def add(self, item: ObjectInfo) -> None:
        """Add one object of the listing. Hidden ones are ignored: macOS writes `._news.mp4` beside `news.mp4`."""
        self.n_objects += 1
        stem, extension = split_extension(relative_path(item.uri, self._root))
        if storage.is_hidden(item.uri, self._root):
            self.n_ignored += 1
        elif extension in MEDIA_EXTENSIONS:
            self._pending_media.append((stem, item.uri, item.size, item.etag, self._composed(stem)))
        elif extension in TRANSCRIPT_EXTENSIONS:
            rank = TRANSCRIPT_EXTENSIONS.index(extension)
            for stem_rank, media_stem in enumerate(stems_of_transcript(stem, self._language)):
                for form in (media_stem, self._composed(media_stem)):
                    if form:
                        self._pending_transcripts.append((form, rank, stem_rank, item.uri, item.etag))
        else:
            self.n_ignored += 1
        if len(self._pending_media) + len(self._pending_transcripts) >= BATCH:
            self._flush()

    def add_earlier(self, lines: Iterable[bytes]) -> None:
        """Add an earlier plan: lines of `programme_id`, shard and split, separated by tabs."""
        rows = (line.decode().split("\t") for line in lines)
        self._write(
            "INSERT INTO earlier VALUES (?, ?, ?)", ((name, int(shard), int(split)) for name, shard, split in rows)
        )

    def pair(self, reviewed: Iterable[ReviewedProgramme | tuple[str, str]] = ()) -> Iterator[tuple[str, str]]:
        """Pair media with transcripts. Yield the URI of a manifest and each problem in it, see `_sample`.

        `reviewed` programmes are added, or take the place of their media in the listing.
        """
        self._flush()
        self._database.executescript(
            # Not unique: S3 may hold a.wav and a.wav/, whose URIs are equal here.
            "CREATE INDEX media_uri ON media (uri); CREATE INDEX media_stem ON media (stem, size);"
            "CREATE INDEX media_composed ON media (composed) WHERE composed IS NOT NULL;"
            "CREATE INDEX transcript_stem ON transcript (stem, rank, stem_rank);"
        )
        self._pass_over_other_xml()
        for uri in self._shared_manifests():
            try:
                yield from self._sample(uri, self._read_manifest(uri))
            except InputRejected as rejected:
                self.n_manifest_problems += 1
                yield uri, rejected.message
        for found in reviewed:
            if isinstance(found, ReviewedProgramme):
                self._add_reviewed(found)
            else:
                self.n_manifest_problems += 1
                yield found
        self._database.executescript(_PROGRAMMES)

    def _add_reviewed(self, programme: ReviewedProgramme) -> None:
        for table, column in (("media", "uri"), ("entry", "media")):
            self._write(f"DELETE FROM {table} WHERE {column} = ?", [(programme.media,)])
        row = (programme.stem, programme.media, programme.size, programme.etag, None)
        self._write("INSERT INTO media VALUES (?, ?, ?, ?, ?)", [row])
        self._write(
            "INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                (programme.media, s.start_s, s.end_s, s.text, s.speaker, s.language, programme.manifest)
                for s in programme.supervisions
            ),
        )

    def candidates(self, held_out: frozenset[str] = frozenset()) -> Iterator[Candidate]:
        """Yield the programmes that have a transcript, ordered by id; `held_out` stems as if for testing before."""
        rows = self._database.execute(
            f"""SELECT programme.rowid, size, stem, coalesce(e.shard, -1), coalesce(e.split, -1)
                FROM programme LEFT JOIN earlier e ON e.programme_id = programme.id WHERE {_USED} ORDER BY id"""
        )
        for rowid, size, stem, shard, split in rows:
            date = broadcast_date(stem, is_encoded=self._is_encoded)
            earlier_split = SPLIT_CODES[Split.TEST] if stem in held_out else split
            yield Candidate(rowid, max(1, size), hash64(stem), hash64(date or stem), shard, earlier_split)

    def estimated_hours(self) -> float:
        """Estimated total duration of the programmes that are used."""
        rows = self._database.execute(f"SELECT media, size FROM programme WHERE {_USED}")
        return sum(estimate_duration_s(split_extension(media)[1], size) for media, size in rows) / 3600

    def plan(self, places: Iterable[tuple[int, int, int]]) -> None:
        """Set shards and splits, from tuples of `(shard, split, rowid)`."""
        self._write("UPDATE programme SET shard = ?, split = ? WHERE rowid = ?", places)
        self._database.execute(f"CREATE INDEX programme_shard ON programme (shard, id) WHERE {_USED}")

    def planned(self) -> Iterator[PlannedProgramme]:
        """Yield the programmes that are used, ordered by shard and id."""
        rows = self._database.execute(
            f"""SELECT id, media, size, p.etag, coalesce(manifest, t.uri), manifest IS NULL, t.etag, shard, split
                FROM programme p LEFT JOIN transcript t ON t.rowid = p.transcript
                WHERE {_USED} ORDER BY shard, id"""
        )
        for name, media, size, etag, transcript, is_beside, transcript_etag, shard, split in rows:
            supervisions = () if is_beside else tuple(self._supervisions(media))
            yield PlannedProgramme(
                name, media, size, etag, transcript, transcript_etag if is_beside else "", shard, split, supervisions
            )

    def absent(self) -> Iterator[tuple[str, int, int]]:
        """Yield id, shard and split of the earlier plan's programmes that are not used now; -1: no such shard now."""
        yield from self._database.execute(
            f"""SELECT programme_id, iif(shard <= (SELECT max(shard) FROM programme), shard, -1), split FROM earlier e
                WHERE NOT EXISTS (SELECT 1 FROM programme WHERE id = e.programme_id AND {_USED})
                ORDER BY programme_id"""
        )

    def excluded(self) -> Iterator[tuple[str, str, str]]:
        """Yield `(programme_id, media, used)` of media that are not used; `used` is the rendition used instead."""
        yield from self._database.execute(
            f"""SELECT id, media, coalesce((
                  SELECT o.media FROM programme o
                  WHERE o.id = p.id AND o.rendition_rank = 1 AND p.rendition_rank > 1), '')
                FROM programme p WHERE NOT ({_USED}) ORDER BY id, media"""
        )

    def count(self, table: str) -> int:
        (n_rows,) = self._database.execute(f"SELECT count(DISTINCT uri) FROM {table}").fetchone()
        return int(n_rows)

    def total_bytes(self) -> int:
        return int(self._database.execute("SELECT coalesce(sum(size), 0) FROM media").fetchone()[0])

    def _programme_id(self, stem: str) -> str:
        return programme_id(stem, is_encoded=self._is_encoded)

    def _pass_over_other_xml(self) -> None:
        """Remove XML that is not TTML from the transcripts, where no better transcript hides it."""
        rank = TRANSCRIPT_EXTENSIONS.index(XML_EXTENSION)
        rows = self._database.execute(
            f"""SELECT DISTINCT uri FROM transcript t
               WHERE rank = ?1 AND {_BESIDE_MEDIA}
               AND NOT EXISTS (SELECT 1 FROM transcript o WHERE o.stem = t.stem AND o.rank < ?1) ORDER BY uri""",
            (rank,),
        )
        self.passed_over = list(other_xml(uri for (uri,) in rows))
        if self.passed_over:
            self._database.execute("CREATE INDEX transcript_uri ON transcript (uri)")
            self._write("DELETE FROM transcript WHERE uri = ?", ((uri,) for uri in self.passed_over))

    def _shared_manifests(self) -> list[str]:
        """Manifests that describe many media: those that do not share their name with a medium."""
        ranks = [TRANSCRIPT_EXTENSIONS.index(extension) for extension in MANIFEST_EXTENSIONS]
        rows = self._database.execute(
            f"""SELECT uri FROM transcript t WHERE rank IN ({", ".join(map(str, ranks))})
                GROUP BY uri HAVING NOT max({_BESIDE_MEDIA}) ORDER BY uri"""
        )
        return [uri for (uri,) in rows]

    def _sample(self, uri: str, problems: Iterator[str]) -> Iterator[tuple[str, str]]:
        """Yield a manifest's URI with each of its first problems, then with the number of the others."""
        for problem in islice(problems, MAX_LISTED_PROBLEMS):
            self.n_manifest_problems += 1
            yield uri, problem
        n_more = sum(1 for _ in problems)
        self.n_manifest_problems += n_more
        if n_more:
            yield uri, f"{n_more} further lines cannot be used"

    def _read_manifest(self, uri: str) -> Iterator[str]:
        """Read a manifest's entries. Yield what is wrong with those that cannot be used."""
        rows = []
        with storage.open_reader(uri) as file:
            for found in read_entries(file, uri.lower()):
                if not isinstance(found, ManifestEntry):
                    yield str(found)
                elif not (media := self._resolve(uri, found.media)):
                    yield f"refers to {found.media[:200]!r}, which is not in the corpus"
                else:
                    s = found.supervision
                    rows.append((media, s.start_s, s.end_s, s.text, s.speaker, s.language, uri))
                if len(rows) >= BATCH:
                    self._write("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
                    rows = []
        self._write("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def _resolve(self, manifest: str, name: str) -> str:
        """Find the medium that a manifest refers to: by URI, or by path from the manifest's folder or the root."""
        if "://" in name:
            candidates = [name]
        elif name.startswith("/"):
            candidates = [storage.file_uri(name)] if self._is_encoded else []
        else:
            path = storage.file_uri("/" + name).removeprefix("file:///") if self._is_encoded else name
            candidates = [storage.join(folder, path) for folder in (storage.parent(manifest), self._root)]
        uris = [uri for candidate in candidates for uri in (candidate, _without_dots(candidate))]
        for uri in uris:
            if self._database.execute("SELECT 1 FROM media WHERE uri = ?", (uri,)).fetchone():
                return uri
        return next((found for uri in uris if (found := self._same_name(uri))), "")

    def _same_name(self, uri: str) -> str:
        """The medium whose name differs only in the form of its letters or in the case of its extension."""
        if not uri.startswith(self._root):
            return ""
        stem, extension = split_extension(relative_path(uri, self._root))
        rows = self._database.execute(
            "SELECT uri FROM media WHERE stem = ? UNION SELECT uri FROM media WHERE composed = ? ORDER BY uri",
            (stem, self._composed(stem)),
        )
        return next((found for (found,) in rows if split_extension(found)[1] == extension), "")

    def _composed(self, stem: str) -> str | None:
        if stem.isascii() and not (self._is_encoded and "%" in stem):
            return None
        return "/" + storage.in_form(stem, "NFC", is_encoded=self._is_encoded)

    def _supervisions(self, media: str) -> Iterator[Supervision]:
        rows = self._database.execute(
            "SELECT start_s, end_s, text, speaker, language FROM entry WHERE media = ? ORDER BY start_s, end_s, rowid",
            (media,),
        )
        for start_s, end_s, text, speaker, language in rows:
            yield Supervision(start_s=start_s, end_s=end_s, text=text, speaker=speaker, language=language)

    def _flush(self) -> None:
        self._write("INSERT INTO media VALUES (?, ?, ?, ?, ?)", self._pending_media)
        self._write("INSERT INTO transcript VALUES (?, ?, ?, ?, ?)", self._pending_transcripts)
        self._pending_media, self._pending_transcripts = [], []

    def _write(self, statement: str, rows: Iterable[tuple[object, ...]]) -> None:
        self._database.execute("BEGIN")
        self._database.executemany(statement, rows)
        self._database.execute("COMMIT")


def _without_dots(uri: str) -> str:
    """`uri` with `.` and `..` resolved, as in a listing."""
    scheme, separator, path = uri.partition("://")
    return f"{scheme}{separator}{posixpath.normpath(path)}"
