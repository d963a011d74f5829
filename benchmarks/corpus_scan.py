"""Planning: memory and time of scan-corpus for a simulated listing of a million media in 800 shards.

The listing is generated while it is read, so that only scan-corpus is measured: its two passes over the listing, the
pairing on disk, the plan, and the shards' files in a temporary folder.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.support.harness import Report, Row, make_report, run
from tasks import storage
from tasks.contract import STEPS
from tasks.contract.arguments import ScanCorpus
from tasks.progress import no_progress
from tasks.step import run_step
from tasks.storage import ObjectInfo

N_MEDIA = 1_000_000
N_SHARDS = 800
ARCHIVE = "s3://archive/media"


def listing() -> Iterator[ObjectInfo]:
    """A listing of media of very different sizes in many folders, each with captions."""
    rng = random.Random(0)
    for number in range(N_MEDIA):
        stem = f"{ARCHIVE}/{2000 + number % 25}/{number % 97:02d}/programme-{number:07d}"
        yield ObjectInfo(f"{stem}.mp4", int(rng.lognormvariate(20, 0.8)), f"{number:032x}")
        yield ObjectInfo(f"{stem}.srt", 40_000, f"{number:032x}")


def measure() -> Report:
    real = storage.list_objects
    storage.list_objects = lambda prefix: listing() if prefix == ARCHIVE else real(prefix)
    try:
        with tempfile.TemporaryDirectory() as folder:
            arguments = ScanCorpus(output=Path(folder).as_uri(), media=ARCHIVE, shards=N_SHARDS)
            started, cpu_started = time.perf_counter(), time.process_time()
            receipt = run_step(STEPS["scan-corpus"], arguments, no_progress)
            seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    finally:
        storage.list_objects = real
    heaviest = receipt.metrics["heaviest_shard_over_mean"]
    return make_report(
        "corpus_scan",
        f"{N_MEDIA:,} media with captions into {receipt.counts['shards']} shards",
        "media a second",
        "itself",
        ("obstore", "numpy"),
        [Row("scan-corpus", seconds, (seconds, seconds), N_MEDIA / seconds, 1.0)],
        [f"{cpu_seconds:.0f} s of processor time", f"the heaviest shard has {heaviest:.4f} times the mean weight"],
    )


if __name__ == "__main__":
    run(__doc__ or "", measure)
