"""Live captions in real time: the latency of words, cost per session, and WER beside the batch path.

    python -m benchmarks.streaming [--sessions 1 2 4 8] [--seconds 60] [--model DIR] [--json FILE]

One worker process of each component; brokers from `KAFKA_BOOTSTRAP`, or a real one that is started here.
Sessions are synthetic speech, sent in real time in blocks of 200 ms. A word's latency is the time from sending its last
sample to receiving its final caption. For comparison the batch path recognises the same audio.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import threading
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.support.harness import BASE, Machine, this_machine
from benchmarks.support.kafka_brokers import brokers
from local.demo.live_programme import Spoken, speech
from local.demo.live_workers import LiveOutput, LiveWorker, start_workers, stop
from tasks.audio import SAMPLE_RATE_HZ

BLOCK_MS = 200
DRAIN_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class LiveRow:
    """The results for one number of parallel sessions."""

    sessions: int
    words: int
    p50_s: float
    p95_s: float
    worst_s: float
    partial_p50_s: float
    """Median age of a partial caption's last word when it is received."""
    cores_per_session: float
    memory_mib_per_session: float
    """Memory of all workers divided by the number of sessions."""
    wer: float
    batch_wer: float
    complete: bool
    """Whether every session finished in time."""


@dataclass(frozen=True)
class LiveReport:
    machine: Machine
    model: str
    seconds: float
    brokers: str
    rows: list[LiveRow]
    memory_mib: dict[str, float]
    """Memory of each worker at the end (PSS)."""


def batch_text(spoken: Spoken, engine: Any) -> str:
    """The hypothesis of the batch path: speech activity, chunks cut at pauses, the same engine."""
    import soxr

    from tasks.media.chunks import chunks
    from tasks.media.speech_activity import speech_segments

    samples = soxr.resample(spoken.samples, spoken.rate_hz, SAMPLE_RATE_HZ, quality="HQ")
    cuts = list(chunks(speech_segments([samples]), max_ms=int(engine.max_chunk_s * 1000)))
    found = engine.recognise([samples[cut.start_ms * 16 : cut.end_ms * 16] for cut in cuts])
    return " ".join(recognition.text for recognition in found)


def feed(spoken: Spoken, session: str, began: list[float]) -> None:
    """Send the audio in real time; appends the start time to `began`."""
    from tasks import kafka
    from tasks.streaming.runtime.messages import AudioBlock, pcm

    client = kafka.producer()
    n_block = spoken.rate_hz * BLOCK_MS // 1000
    starts = range(0, len(spoken.samples), n_block)
    began.append(time.time())
    for number, start in enumerate(starts):
        time.sleep(max(0.0, began[0] + (number + 1) * BLOCK_MS / 1000 - time.time()))
        block = AudioBlock(
            session=session,
            sequence=number,
            start_ms=number * BLOCK_MS,
            sample_rate_hz=spoken.rate_hz,
            audio=pcm(spoken.samples[start : start + n_block]),
            captured_at=time.time(),
            is_last=number == len(starts) - 1,
        )
        kafka.send(client, block.TOPIC, session, block.to_bytes())
    client.flush(30)


class Reader:
    """Consumes all captions, with the time at which each is received."""

    def __init__(self) -> None:
        from confluent_kafka import TopicPartition

        from tasks import kafka

        topics = ["captions.final", "captions.partial", "transcript.published"]
        counts = kafka.wait_for_topics(topics)
        self._consumer = kafka.consumer(f"benchmark-{uuid.uuid4().hex}")
        self._consumer.assign([TopicPartition(topic, n, 0) for topic, count in counts.items() for n in range(count)])
        self.captions: dict[str, dict[int, tuple[float, dict[str, Any]]]] = {}
        self.partials: dict[str, list[tuple[float, dict[str, Any]]]] = {}
        self.ended: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while not self._stop.is_set():
            message = self._consumer.poll(0.1)
            if message is None or message.error():
                continue
            now, session = time.time(), (message.key() or b"").decode()
            caption = json.loads(message.value() or b"{}")
            if message.topic() == "captions.final":
                self.captions.setdefault(session, {}).setdefault(caption["sequence"], (now, caption))
            elif message.topic() == "captions.partial":
                self.partials.setdefault(session, []).append((now, caption))
            else:
                self.ended.add(session)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._consumer.close()


def measure(n: int, spoken: list[Spoken], reader: Reader, workers: list[LiveWorker], engine: Any) -> LiveRow:
    """Run `n` sessions in parallel."""
    from tasks.transcripts.error_counts import total
    from tasks.transcripts.normaliser import normalise
    from training.scoring.errors import word_errors

    names = [f"bench-{n}-{number}-{uuid.uuid4().hex[:6]}" for number in range(n)]
    began: list[list[float]] = [[] for _ in names]
    threads = [
        threading.Thread(target=feed, args=(spoken[number], name, began[number])) for number, name in enumerate(names)
    ]
    before_s = sum(_cpu_s(worker) for worker in workers)
    started = time.monotonic()
    for thread in threads:
        thread.start()
        time.sleep(0.37)  # so that the sessions' pauses do not coincide
    for thread in threads:
        thread.join()
    deadline = time.monotonic() + DRAIN_TIMEOUT_S
    while not set(names) <= reader.ended and time.monotonic() < deadline:
        time.sleep(0.1)
    used_s, took_s = sum(_cpu_s(worker) for worker in workers) - before_s, time.monotonic() - started
    memory_mib = sum(_memory_mib(worker) for worker in workers)
    latencies, firsts, errors, batch_errors = [], [], [], []
    for number, name in enumerate(names):
        origin = began[number][0]
        captions = [caption for _, caption in sorted(reader.captions.get(name, {}).items())]
        latencies += [at - origin - word["end_ms"] / 1000 for at, caption in captions for word in caption["words"]]
        firsts += [
            at - origin - partial["words"][-1]["end_ms"] / 1000
            for at, partial in reader.partials.get(name, [])
            if partial["words"]
        ]
        reference = normalise(spoken[number].text)
        errors.append(word_errors(reference, normalise(" ".join(caption["text"] for _, caption in captions))))
        batch_errors.append(word_errors(reference, normalise(batch_text(spoken[number], engine))))
    latencies.sort()
    return LiveRow(
        sessions=n,
        words=len(latencies),
        p50_s=round(statistics.median(latencies), 2),
        p95_s=round(latencies[int(0.95 * (len(latencies) - 1))], 2),
        worst_s=round(latencies[-1], 2),
        partial_p50_s=round(statistics.median(firsts), 2) if firsts else 0.0,
        cores_per_session=round(used_s / took_s / n, 3),
        memory_mib_per_session=round(memory_mib / n, 1),
        wer=round(total(errors).rate or 0.0, 4),
        batch_wer=round(total(batch_errors).rate or 0.0, 4),
        complete=set(names) <= reader.ended,
    )


def _cpu_s(worker: LiveWorker) -> float:
    import psutil

    times = psutil.Process(worker.process.pid).cpu_times()
    return float(times.user + times.system)


def _memory_mib(worker: LiveWorker) -> float:
    import psutil

    return float(psutil.Process(worker.process.pid).memory_full_info().pss) / 2**20


def show(result: LiveReport) -> None:
    from rich.console import Console
    from rich.table import Table

    columns = (
        "sessions",
        "words",
        "p50 s",
        "p95 s",
        "worst s",
        "partial p50 s",
        "cores/session",
        "MiB/session",
        "WER live",
        "WER batch",
    )
    table = Table(*columns, title=f"{result.seconds:g} s at real time, {result.model}")
    for row in result.rows:
        table.add_row(
            f"{row.sessions}{'' if row.complete else ' (incomplete)'}",
            str(row.words),
            f"{row.p50_s:.2f}",
            f"{row.p95_s:.2f}",
            f"{row.worst_s:.2f}",
            f"{row.partial_p50_s:.2f}",
            f"{row.cores_per_session:.3f}",
            f"{row.memory_mib_per_session:,.0f}",
            f"{100 * row.wer:.1f} %",
            f"{100 * row.batch_wer:.1f} %",
        )
    console = Console(width=120)
    console.print(table)
    machine = result.machine
    console.print(f"{machine.processor}, {machine.cores} cores, {machine.memory_gib} GiB, Python {machine.python}")
    console.print(f"brokers: {result.brokers}; MiB: {result.memory_mib}")


def main() -> None:
    parser = argparse.ArgumentParser(description="latency, cost and errors of live captions")
    parser.add_argument("--sessions", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--model", type=Path, default=BASE)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    import torch

    from tasks.recognition import load_engine
    from tasks.streaming.topics import main as make_topics

    torch.set_num_threads(1)
    spoken = [speech(number, options.seconds) for number in range(max(options.sessions))]
    engine = load_engine(options.model)
    with brokers() as addresses, tempfile.TemporaryDirectory() as folder:
        os.environ["AIRSCRIPT_KAFKA"] = addresses
        make_topics([])
        output = LiveOutput(str(options.model), f"{Path(folder).as_uri()}/live", f"{Path(folder).as_uri()}/transcripts")
        workers = start_workers(output, os.environ, Path(folder))
        try:
            reader = Reader()
            rows = [measure(n, spoken, reader, workers, engine) for n in options.sessions]
            memory = {worker.component: round(_memory_mib(worker)) for worker in workers}
            reader.close()
        finally:
            stop(workers)
    kind = "KAFKA_BOOTSTRAP" if os.environ.get("KAFKA_BOOTSTRAP") else "Tansu"
    result = LiveReport(this_machine(), options.model.name, options.seconds, kind, rows, memory)
    show(result)
    if options.json:
        options.json.write_text(json.dumps(asdict(result), indent=2) + "\n")


if __name__ == "__main__":
    main()
