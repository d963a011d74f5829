"""Failover of live captions: what a killed worker costs, on a real broker and on librdkafka's mock cluster.

    python -m benchmarks.failover [--brokers real mock] [--json FILE]

Two workers of each component, at the default session timeout. The same programme is broadcast twice in real time: once
undisturbed, and once with SIGKILL, in the middle of speech, for the worker that owns the session, one component after
the other. Captions must be identical. The gap is the time from a kill to the first caption, final or partial, of audio
captured after it; the bar is the session timeout plus 5 s. Real: brokers from `KAFKA_BOOTSTRAP`, or Tansu here. On a
rebalance the mock waits the session timeout less 1 s for members that may return; real brokers continue as soon as the
live members have rejoined.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import tempfile
import threading
import time
import uuid
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from benchmarks.streaming import Reader, feed
from benchmarks.support.harness import BASE, Machine, this_machine
from benchmarks.support.kafka_brokers import brokers, mock_cluster
from local.demo.live_programme import Spoken, speech
from local.demo.live_workers import COMPONENTS, LiveOutput, LiveWorker, start_workers

SETTLE_S = 13.0  # between two kills: longer than a gap within the bar
END_TIMEOUT_S = 90.0
SESSION_TIMEOUT_S = 6.0  # tasks/kafka/clients.py
BAR_S = SESSION_TIMEOUT_S + 5.0


@dataclass(frozen=True)
class Failover:
    """The results on one kind of broker."""

    brokers: str
    gap_s: dict[str, float]
    """By component: from the kill to the first caption of later audio."""
    is_identical: bool
    """Whether the captions are those of the undisturbed broadcast."""
    captions: int
    words: int
    p50_s: float
    p95_s: float
    """Undisturbed: from sending a word's last sample to receiving its final caption."""


@dataclass(frozen=True)
class FailoverReport:
    machine: Machine
    session_timeout_s: float
    results: list[Failover]


def owner(pair: list[LiveWorker]) -> LiveWorker:
    """The worker that owns the session, by its metrics."""
    for worker in pair:
        with urlopen(worker.metrics_url, timeout=10) as answer:
            figures = answer.read().decode()
        if re.search(r"^airscript_stream_sessions\{.*\} 1\.0$", figures, re.MULTILINE):
            return worker
    raise RuntimeError(f"no {pair[0].component} owns the session")


class Broadcast:
    """A programme as one session in real time, and what comes back."""

    def __init__(self, spoken: Spoken, reader: Reader) -> None:
        self.session = f"failover-{uuid.uuid4().hex[:6]}"
        self._reader, self._began = reader, list[float]()
        self._feeder = threading.Thread(target=feed, args=(spoken, self.session, self._began))
        self._feeder.start()

    def wait(self) -> None:
        """Wait until the transcript is published. Raises RuntimeError if it is not in time."""
        self._feeder.join()
        deadline = time.monotonic() + END_TIMEOUT_S
        while self.session not in self._reader.ended:
            if time.monotonic() > deadline:
                raise RuntimeError("the session did not end")
            time.sleep(0.1)

    @property
    def captions(self) -> list[dict[str, Any]]:
        """The final captions in order, without what differs between broadcasts."""
        found = sorted(self._reader.captions[self.session].items())
        return [
            {name: value for name, value in caption.items() if name not in ("session", "captured_at")}
            for _, (_, caption) in found
        ]

    @property
    def latencies_s(self) -> list[float]:
        """The latency of each word, ascending."""
        found = self._reader.captions[self.session].values()
        return sorted(at - self._began[0] - word["end_ms"] / 1000 for at, caption in found for word in caption["words"])

    def gap_s(self, killed_at: float) -> float:
        """Seconds from a kill to the first caption, final or partial, of audio captured after it."""
        captions = [*self._reader.captions[self.session].values(), *self._reader.partials.get(self.session, [])]
        return min(
            (at - killed_at for at, caption in captions if caption["captured_at"] >= killed_at), default=float("inf")
        )


def measure(kind: str, spoken: Spoken) -> Failover:
    """Broadcast twice on one kind of broker."""
    from tasks.streaming.topics import main as make_topics

    cluster: AbstractContextManager[str] = brokers() if kind == "real" else mock_cluster()
    with cluster as addresses, tempfile.TemporaryDirectory() as scratch:
        os.environ["AIRSCRIPT_KAFKA"] = addresses
        if kind == "real":
            make_topics([])  # the mock creates topics by itself, and cannot be asked to
        folder = Path(scratch)
        output = LiveOutput(str(BASE), f"{folder.as_uri()}/live", f"{folder.as_uri()}/transcripts")
        reader = Reader()
        workers = [worker for n in range(2) for worker in start_workers(output, os.environ, folder, f"-{n}")]
        try:
            undisturbed = Broadcast(spoken, reader)
            undisturbed.wait()
            disturbed = Broadcast(spoken, reader)
            killed = {}
            for name in COMPONENTS:
                time.sleep(SETTLE_S)
                victim = owner([worker for worker in workers if worker.component == name])
                victim.process.kill()
                killed[name] = time.time()
            disturbed.wait()
        finally:
            for worker in workers:
                worker.process.kill()
                worker.process.wait()
            reader.close()
    latencies_s = undisturbed.latencies_s
    return Failover(
        brokers=kind,
        gap_s={name: round(disturbed.gap_s(at), 2) for name, at in killed.items()},
        is_identical=disturbed.captions == undisturbed.captions,
        captions=len(undisturbed.captions),
        words=len(latencies_s),
        p50_s=round(latencies_s[len(latencies_s) // 2], 2),
        p95_s=round(latencies_s[int(0.95 * (len(latencies_s) - 1))], 2),
    )


def show(report: FailoverReport) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("brokers", *(f"{name} s" for name in COMPONENTS), "identical", "p50 s", "p95 s", "words")
    table.title = f"gap after a kill, session timeout {report.session_timeout_s:g} s, bar {BAR_S:g} s"
    for found in report.results:
        table.add_row(
            found.brokers,
            *(f"{found.gap_s[name]:.1f}" for name in COMPONENTS),
            "yes" if found.is_identical else "no",
            f"{found.p50_s:.2f}",
            f"{found.p95_s:.2f}",
            str(found.words),
        )
    console = Console(width=120)
    console.print(table)
    machine = report.machine
    console.print(f"{machine.processor}, {machine.cores} cores, {machine.memory_gib} GiB, Python {machine.python}")


def main() -> None:
    parser = argparse.ArgumentParser(description="failover of live captions")
    parser.add_argument("--brokers", nargs="+", choices=("real", "mock"), default=["real", "mock"])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    spoken = speech(1, (len(COMPONENTS) + 1) * SETTLE_S)
    results = [measure(kind, spoken) for kind in options.brokers]
    report = FailoverReport(this_machine(), SESSION_TIMEOUT_S, results)
    show(report)
    if options.json:
        options.json.write_text(json.dumps(asdict(report), indent=2) + "\n")


if __name__ == "__main__":
    main()
