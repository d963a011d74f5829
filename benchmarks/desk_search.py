"""Searching the desk's index: 100,000 programmes, by words said, by names and filters, newest first.

The programmes are made up: `--words` words each, drawn from a vocabulary of 50,000 by Zipf's law (the n-th word is 1/n
as frequent as the first), with names of two years of days, forty speakers and three models. They go into the index by
the functions that put transcripts there; reading transcripts from storage is not measured. The peer answers the same
question by SQLite's LIKE over the same texts, as a list without an index would.
"""

from __future__ import annotations

import itertools
import tempfile
import time
import zlib
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from benchmarks.support.harness import Report, argument_parser, make_report, print_and_save, time_interleaved
from tasks.desk.index.building import add_programmes
from tasks.desk.index.rows import IndexedProgramme, ProgrammeRow
from tasks.desk.index.schema import new_index, open_index
from tasks.desk.index.searching import Query, Reviewed, search

PEER = "LIKE over all texts"
VOCABULARY = 50_000
FIRST_DAY, DAYS = date(2024, 1, 1), 730
PREFIXES = ("evening-news", "weather", "talk", "film", "sport")


def programmes(n: int, n_words: int) -> itertools.starmap[IndexedProgramme]:
    rng = np.random.default_rng(0)
    frequency = 1 / np.arange(1, VOCABULARY + 1)
    cumulative = np.cumsum(frequency / frequency.sum())
    spellings = np.array([f"w{number:x}" for number in range(VOCABULARY)])

    def made(number: int) -> IndexedProgramme:
        words = spellings[np.searchsorted(cumulative, rng.random(n_words))]
        day = FIRST_DAY + timedelta(days=number * DAYS // n)
        name = f"{day}_{PREFIXES[number % len(PREFIXES)]}-{number}"
        row = ProgrammeRow(
            key=f"{name}/{number:012x}",
            programme=name,
            media=f"file:///inbox/{name}.mp4",
            media_sha256=f"{number:064x}",
            day=str(day),
            night=str(day + timedelta(days=1)),
            status=("done", "done_with_warnings")[number % 4 == 0],
            reason="",
            detail="",
            model=f"acoustic-model/{1 + 3 * number // n}",
            language="en",
            duration_s=1800.0,
            words=n_words,
            speakers=2,
            confidence=0.5 + number % 50 / 100,
            coverage=0.98,
            review=int(number % 20 == 0),
            finished=number % 40 == 0,
        )
        return IndexedProgramme(row, f"Speaker {number % 40}", " ".join(words.tolist()))

    return itertools.starmap(made, ((number,) for number in range(n)))


QUERIES = {
    "the newest page": Query(),
    "a word in nearly all": Query(words="w0"),
    "a word in some": Query(words="w400"),
    "a rare word": Query(words="wc000"),
    "two words, a speaker, a model": Query(words="w0 w20", speaker="Speaker 7", model="acoustic-model/1"),
    "a frequent word, reviewed, low confidence": Query(words="w1", reviewed=Reviewed.YES, max_confidence=0.6),
    "a beginning, reviewed, low confidence": Query(words="w1a", reviewed=Reviewed.YES, max_confidence=0.6),
    "a frequent word, the oldest month": Query(words="w0", last_day="2024-01-31"),
    "a name, page 20": Query(name="weather", page=20),
    "everything, page 1,000": Query(page=1_000),
}


def scan(folder: Path) -> int:
    """How often a word is found without an index."""
    index = open_index(folder)
    assert index is not None
    index.create_function("text", 1, lambda data: zlib.decompress(data).decode(), deterministic=True)
    found = index.execute("SELECT count(*) FROM texts WHERE text(words) LIKE '%w400 %'").fetchone()[0]
    index.close()
    return int(found)


def measure(n: int, n_words: int) -> Report:
    """Make an index of `n` programmes, and time the queries."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        began = time.process_time()
        with new_index(folder) as index:
            add_programmes(index, programmes(n, n_words))
        made_s = time.process_time() - began
        size_mb = sum(path.stat().st_size for path in folder.iterdir()) / 1e6

        def searching(query: Query) -> Callable[[], object]:
            return lambda: search(folder, query)

        contenders = {name: searching(query) for name, query in QUERIES.items()}
        rows = time_interleaved(
            {**contenders, PEER: lambda: scan(folder)}, PEER, work=1, repeats=5, clock=time.process_time
        )
        notes = [
            f"{n:,} programmes of {n_words} words: made in {made_s:.0f} s of processor time, {size_mb:,.0f} MB",
            "processor time, the files in the page cache; a page has 50 programmes",
        ]
        return make_report("desk_search", "searching the desk's index", "queries a second", PEER, (), rows, notes)


def main() -> None:
    parser = argument_parser((__doc__ or "").splitlines()[0])
    parser.add_argument("--programmes", type=int, default=100_000)
    parser.add_argument("--words", type=int, default=500, help="words of each programme")
    options = parser.parse_args()
    print_and_save(measure(options.programmes, options.words), options.json)


if __name__ == "__main__":
    main()
