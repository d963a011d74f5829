"""A worker process of each component of live captions, on this machine."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local.ports import free_port
from local.settings import CHECKOUT

COMPONENTS = ("prepare", "features", "diarize", "recognise", "captions")
START_TIMEOUT_S = 600.0  # loading the libraries on a machine with much other load
GRACE_S = 20.0
ASSIGNED = b"partitions assigned"


@dataclass(frozen=True)
class LiveOutput:
    """The model of the workers, and URI prefixes of what they write."""

    model: str
    live: str
    transcripts: str


@dataclass(frozen=True)
class LiveWorker:
    """A running worker."""

    component: str
    process: subprocess.Popen[bytes]
    log: Path
    metrics_url: str


class WorkerDied(RuntimeError):
    """A worker ended, or has no partitions in time; the message has the end of its log."""

    def __init__(self, worker: LiveWorker) -> None:
        text = worker.log.read_text(errors="replace")
        super().__init__(f"{worker.component}, the worker of live captions, does not run:\n{text[-2000:]}")


def start_worker(
    component: str, output: LiveOutput, environment: Mapping[str, str], folder: Path, suffix: str = ""
) -> LiveWorker:
    """Start a worker, with its log in `folder`. `suffix`: of the log's name."""
    flags = {
        "features": [f"--model={output.model}"],
        "recognise": [f"--model={output.model}"],
        "captions": [f"--live={output.live}", f"--transcripts={output.transcripts}"],
    }
    port, log = free_port(), folder / f"{component}{suffix}.log"
    command = [sys.executable, "-m", "tasks", "stream", component, *flags.get(component, []), f"--metrics-port={port}"]
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command,
            cwd=CHECKOUT,
            env={**environment, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
        )
    return LiveWorker(component, process, log, f"http://127.0.0.1:{port}/metrics")


def start_workers(
    output: LiveOutput, environment: Mapping[str, str], folder: Path, suffix: str = ""
) -> list[LiveWorker]:
    """Start a worker of each component and wait until they have partitions. Raises WorkerDied, and then none runs."""
    workers = [start_worker(name, output, environment, folder, suffix) for name in COMPONENTS]
    try:
        wait_for(workers)
    except BaseException:
        stop(workers)
        raise
    return workers


def wait_for(workers: list[LiveWorker]) -> None:
    """Wait until all workers have been assigned partitions, possibly none. Raises WorkerDied."""
    deadline = time.monotonic() + START_TIMEOUT_S
    for worker in workers:
        while ASSIGNED not in worker.log.read_bytes():
            if worker.process.poll() is not None or time.monotonic() > deadline:
                raise WorkerDied(worker)
            time.sleep(0.1)


def stop(workers: list[LiveWorker]) -> None:
    """Have the workers save their states and leave; kill those that take too long."""
    for worker in workers:
        worker.process.terminate()
    deadline = time.monotonic() + GRACE_S
    for worker in workers:
        try:
            worker.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.process.kill()
            worker.process.wait()
