"""Failover of live captions: time to recovery after a worker is killed.

One session in real time, two workers of each component, a session timeout of 2 s. The worker that owns the session gets
SIGKILL in the middle of speech, one component after the other. Recovery is the first caption of audio captured after
the kill. On a rebalance librdkafka's mock cluster waits the session timeout less 1 s for members that may return; real
brokers (`KAFKA_BOOTSTRAP`) continue as soon as the live members have rejoined.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
import threading
import time
import uuid
from pathlib import Path
from urllib.request import urlopen

from benchmarks.streaming import COMPONENTS, Reader, feed, speech, start_workers
from benchmarks.support.harness import BASE, Report, Row, make_report, run
from benchmarks.support.kafka_brokers import brokers

SETTLE_S = 16.0  # between two kills
CONFIG = {"session.timeout.ms": 2_000, "heartbeat.interval.ms": 500}


def owner(pair: list[subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
    """The worker that owns the session, by its metrics."""
    for worker in pair:
        port = str(worker.args[-1]).rpartition("=")[2]  # type: ignore[index]
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            figures = answer.read().decode()
        if re.search(r"^airscript_stream_sessions\{.*\} 1\.0$", figures, re.MULTILINE):
            return worker
    raise RuntimeError("no worker owns the session")


def recovery_s(reader: Reader, session: str, killed_at: float) -> float:
    """Seconds from a kill to the first caption, final or partial, of audio captured after it."""
    captions = [*reader.captions.get(session, {}).values(), *reader.partials.get(session, [])]
    return min(
        (at - killed_at for at, caption in captions if caption["captured_at"] >= killed_at), default=float("inf")
    )


def measure() -> Report:
    with brokers() as addresses, tempfile.TemporaryDirectory() as scratch:
        os.environ["AIRSCRIPT_KAFKA"] = addresses
        folder, config = Path(scratch), Path(scratch) / "kafka.json"
        config.write_text(json.dumps(CONFIG))
        os.environ["AIRSCRIPT_KAFKA_CONFIG"] = str(config)
        spoken = speech(1, (len(COMPONENTS) + 1) * SETTLE_S)
        reader = Reader()
        workers = [start_workers(folder, BASE, f"-{number}") for number in range(2)]
        pairs = {name: list(pair) for name, pair in zip(COMPONENTS, zip(*workers, strict=True), strict=True)}
        session = f"failover-{uuid.uuid4().hex[:6]}"
        began: list[float] = []
        killed: dict[str, float] = {}
        feeding = threading.Thread(target=feed, args=(spoken, session, began))
        feeding.start()
        try:
            for name, pair in pairs.items():
                time.sleep(SETTLE_S)
                victim = owner(pair)
                victim.kill()
                killed[name] = time.time()
            feeding.join()
            deadline = time.monotonic() + 60
            while session not in reader.ended and time.monotonic() < deadline:
                time.sleep(0.2)
            has_ended = session in reader.ended
        finally:
            for worker in [worker for pair in pairs.values() for worker in pair]:
                worker.kill()
            reader.close()
    taken = {name: recovery_s(reader, session, at) for name, at in killed.items()}
    slowest = max(taken.values())
    return make_report(
        "failover",
        "from the kill of a worker to the first caption of later audio",
        "1/s",
        "slowest",
        ("confluent-kafka",),
        [Row(name, took, (took, took), 1 / took, slowest / took) for name, took in taken.items()],
        [f"the session completed: {'yes' if has_ended else 'no'}", "bar: 5 s"],
    )


if __name__ == "__main__":
    run(__doc__ or "", measure)
