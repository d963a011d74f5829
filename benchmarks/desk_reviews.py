"""The page of what reviews say, with 10,000 reviews: error rates and words for the vocabulary, from the index.

Each review has two speakers and ten words that its person typed; a third of these words are typed in many programmes.
The recognisers wrote 50,000 words. The peer reads the lines of the log of reviews from a local disk, without the
words: the least that the page would take without an index.
"""

from __future__ import annotations

import random
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.support.harness import Report, make_report, run, time_interleaved
from tasks import storage
from tasks.desk.error_rates import by_genre, by_model, by_speaker, counted
from tasks.desk.index import latest_lines, suggest
from tasks.desk.index.reviewed import Learned, keep
from tasks.desk.index.schema import new_index
from tasks.desk.review_log import INDEX_NAME, REVIEWS_LOG, ReviewLine, read_review_log
from tasks.desk.vocabulary import SpokenAt, Typed
from tasks.storage.records import to_lines
from tasks.transcripts.error_counts import ErrorCounts

REVIEWS, DAYS, TYPED, WRITTEN, PEER = 10_000, 100, 10, 50_000, "reading the log"


def line(number: int) -> ReviewLine:
    name = f"programme-{number}"
    counts = ErrorCounts(length=300, substitutions=number % 30, deletions=3, insertions=2)
    return ReviewLine(
        programme=name,
        key=f"{name}/{number:012x}",
        number=1,
        author="ana",
        created_at=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number % DAYS, seconds=number),
        finished=number % 3 > 0,
        media=f"file:///inbox/genre-{number % 7}/{name}.mp4",
        media_sha256=f"{number:064x}",
        transcript=f"file:///transcripts/{name}/{number:012x}/reviews/0001",
        model=f"acoustic-model/{number % 4}",
        language="en",
        duration_s=1800.0,
        errors=counts,
        by_speaker={"S1": counts, f"Speaker {number % 400}": counts},
    )


def typed(draw: random.Random, key: str) -> tuple[Typed, ...]:
    words = (f"Often{draw.randrange(500)}" if draw.random() < 1 / 3 else f"Once{draw.random()}" for _ in range(TYPED))
    return tuple(Typed(word, SpokenAt(key, 1000 * n, "heard")) for n, word in enumerate(words))


def page(folder: Path) -> None:
    """What the page computes."""
    lines = latest_lines(folder)
    finished = counted(lines)
    assert all([by_model(finished), by_genre(finished), by_speaker(finished)])
    assert suggest(folder)


def measure() -> Report:
    draw = random.Random(0)
    with tempfile.TemporaryDirectory() as temporary:
        folder, transcripts = Path(temporary, "index"), storage.file_uri(Path(temporary, "transcripts"))
        lines = [line(number) for number in range(REVIEWS)]
        with new_index(folder) as index:
            index.execute("BEGIN")
            index.executemany("INSERT INTO written VALUES (?)", [(f"word{n}",) for n in range(WRITTEN)])
            for one in lines:
                keep(index, Learned(one, frozenset(), typed(draw, one.key)))
            index.execute("COMMIT")
        for day in range(DAYS):
            uri = storage.join(transcripts, REVIEWS_LOG, f"{day:03d}", INDEX_NAME)
            storage.write(uri, to_lines(lines[day::DAYS]))
        contenders = {"airscript": lambda: page(folder), PEER: lambda: list(read_review_log(transcripts))}
        rows = time_interleaved(contenders, PEER, work=1, repeats=5, clock=time.process_time)
    return make_report("desk_reviews", f"what {REVIEWS:,} reviews say", "pages a second", PEER, (), rows, [])


if __name__ == "__main__":
    run(__doc__ or "", measure)
