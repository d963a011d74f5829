"""The cost of a large corpus in core-hours, GPU-hours, bytes and pods, from the figures of `benchmarks.pipeline`.

    python -m benchmarks.pipeline --json pipeline.json
    python -m benchmarks.projection --json pipeline.json [--features features.json] [--hours 10000] [--format m4a]

Without `--json` the pipeline is measured first. GPU-hours come from `benchmarks.features --json` on a machine with a
GPU. The only assumptions are in `Assumptions`; the start of pods is not included.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GPU_ROW = "airscript parakeet, GPU"
STEPS = 2  # prepare-corpus and extract-features: a pod each for every shard


@dataclass(frozen=True)
class Assumptions:
    """The inputs that are not measured."""

    hours: float = 10_000.0  # of media
    shards: int = 800  # maximum of one scan; a shard should have about 1 GB
    speech_share: float = 1.0  # of the media that becomes utterances
    kind: str = "m4a"  # format of the media, one of the benchmark's


@dataclass(frozen=True)
class Projection:
    """The projected cost."""

    core_hours: float
    gpu_hours: float | None
    """For log-mel, instead of its part of the core-hours; None if no GPU was measured."""
    shard_bytes: float
    feature_bytes: float
    pods: int
    pod_minutes: float
    """Minutes of one core for both pods of a shard."""


def project(pipeline: dict[str, Any], assumptions: Assumptions, features: dict[str, Any] | None = None) -> Projection:
    """Project from the benchmarks' JSON. Raises ValueError if `pipeline` lacks the kind of media."""
    rates = {row["name"]: row["rate"] for row in pipeline["rows"]}
    name = f"{assumptions.kind}: airscript, audio kept"
    if name not in rates:
        kinds = sorted(row.split(":")[0] for row in rates if row.endswith("audio kept"))
        raise ValueError(f"the benchmark has no {assumptions.kind!r}, only {', '.join(kinds)}")
    core_hours = assumptions.hours / rates[name]
    speech_hours = assumptions.hours * assumptions.speech_share
    on_gpu = {row["name"]: row["rate"] for row in (features or {"rows": []})["rows"]}
    quantities = pipeline["quantities"]
    return Projection(
        core_hours=core_hours,
        gpu_hours=speech_hours / on_gpu[GPU_ROW] if GPU_ROW in on_gpu else None,
        shard_bytes=speech_hours * quantities["bytes an hour, features and audio"],
        feature_bytes=speech_hours * quantities["bytes an hour, features"],
        pods=STEPS * assumptions.shards,
        pod_minutes=60 * core_hours / assumptions.shards,
    )


def show(projection: Projection, assumptions: Assumptions, machine: dict[str, Any]) -> None:
    """Print the projection as a table."""
    from rich.console import Console
    from rich.table import Table

    gpu = "no GPU measured" if projection.gpu_hours is None else f"{projection.gpu_hours:,.2f}"
    table = Table("", "", title=f"{assumptions.hours:,.0f} hours of {assumptions.kind}, {assumptions.shards} shards")
    for name, value in (
        ("core-hours, media to shards", f"{projection.core_hours:,.1f}"),
        ("GPU-hours, if log-mel runs there", gpu),
        ("shards with audio, TB", f"{projection.shard_bytes / 1e12:,.2f}"),
        ("shards without audio, TB", f"{projection.feature_bytes / 1e12:,.2f}"),
        ("size of a shard with audio, GB", f"{projection.shard_bytes / assumptions.shards / 1e9:,.2f}"),
        ("pods", f"{projection.pods:,}"),
        ("minutes of a core for each shard", f"{projection.pod_minutes:,.1f}"),
    ):
        table.add_row(name, value)
    console = Console()
    console.print(table)
    console.print(f"from figures of one core of {machine['processor']}, {assumptions.speech_share:.0%} of it speech")


def main() -> None:
    """The command line."""
    default = Assumptions()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="report of benchmarks.pipeline; measured now if not given")
    parser.add_argument("--features", type=Path, help="report of benchmarks.features from a machine with a GPU")
    parser.add_argument("--hours", type=float, default=default.hours, help="hours of media")
    parser.add_argument("--shards", type=int, default=default.shards)
    parser.add_argument("--speech-share", type=float, default=default.speech_share)
    parser.add_argument("--format", default=default.kind, help="kind of the media: flac, mp3, m4a or wav")
    options = parser.parse_args()
    pipeline = json.loads(options.json.read_bytes()) if options.json else _measured()
    features = json.loads(options.features.read_bytes()) if options.features else None
    assumptions = Assumptions(options.hours, options.shards, options.speech_share, options.format)
    show(project(pipeline, assumptions, features), assumptions, pipeline["machine"])


def _measured() -> dict[str, Any]:
    from dataclasses import asdict

    from benchmarks.pipeline import measure
    from benchmarks.support.harness import print_report

    found = measure()
    print_report(found)
    return asdict(found)


if __name__ == "__main__":
    main()
