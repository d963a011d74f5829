"""A broker, synthesised speech, and components in this process or as worker processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks import models
from tasks.media.decoding.mono import Resampler
from tasks.streaming.components import captions, diarize, features, prepare, recognise
from tasks.streaming.runtime.messages import AudioBlock, pcm
from tasks.streaming.runtime.session import Component
from tasks.streaming.topics import main as topics_command

WEIGHTS = Path(__file__).parents[3] / "local" / "demo" / "base_model" / "weights"
SENTENCES = (
    "Good evening, this is the news at nine.",
    "The minister has said that the river will rise again before the weekend, and nobody should drive through it.",
    "A small town has opened its third library this year.",
)


# Tansu answers who joins a group after half its session timeout; Kafka's minimum is 6 s. Clients of workers that died
# outlive the broker, and would log that it is gone.
OWN_BROKER = {"session.timeout.ms": 2_000, "heartbeat.interval.ms": 300, "log_level": 0}


@pytest.fixture(scope="session")
def spoken() -> tuple[np.ndarray, int]:
    """Three sentences with pauses, `(n_samples,)` float32, and their rate."""
    from local.demo.synthesis.espeak import ESPEAK_RATE_HZ, Voice, speak

    pause = np.zeros(int(0.7 * ESPEAK_RATE_HZ), np.float32)
    parts = [part for text in SENTENCES for part in (speak(text, Voice("en-us", "f3")), pause)]
    return np.concatenate(parts), ESPEAK_RATE_HZ


def blocks_of(samples: np.ndarray, rate_hz: int, session: str = "s", block_ms: int = 200) -> list[AudioBlock]:
    """Cut samples, `(n_samples,)` or `(n_channels, n_samples)`, into blocks as a feeder does."""
    channels = np.atleast_2d(samples)
    n_block = rate_hz * block_ms // 1000
    starts = range(0, channels.shape[1], n_block)
    return [
        AudioBlock(
            session=session,
            sequence=number,
            start_ms=number * block_ms,
            sample_rate_hz=rate_hz,
            n_channels=len(channels),
            audio=pcm(channels[:, start : start + n_block].T.ravel()),
            captured_at=1.0 + number,
            is_last=number == len(starts) - 1,
        )
        for number, start in enumerate(starts)
    ]


@pytest.fixture(scope="session")
def components() -> list[Component]:
    """prepare, features, diarize and recognise with the base model."""
    import torch

    torch.set_num_threads(1)
    reference = models.resolve(str(WEIGHTS))
    return [
        prepare.component(),
        features.component(WEIGHTS),
        diarize.component("embedded"),
        recognise.component(reference, WEIGHTS),
    ]


@pytest.fixture
def through(components: list[Component], tmp_path: Path) -> Callable[..., list[Any]]:
    """Sends blocks through all five components as Kafka would, and returns the final outputs."""

    def run(blocks: list[AudioBlock], folder: str = "out") -> list[Any]:
        root = (tmp_path / folder).as_uri()
        last = captions.component(captions.CaptionsConfig(f"{root}/live", f"{root}/transcripts"))
        messages: list[Any] = list(blocks)
        for component in [*components, last]:
            session = component.open(blocks[0].session, None)
            messages = [outgoing for message in messages for outgoing in session.push(message)]
        return messages

    return run


@pytest.fixture
def kafka(kafka_broker: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """An environment that points at the broker, where all topics of the product exist."""
    monkeypatch.setenv("AIRSCRIPT_KAFKA", kafka_broker)
    if "KAFKA_BOOTSTRAP" not in os.environ:
        monkeypatch.setenv("AIRSCRIPT_KAFKA_CONFIG", json.dumps(OWN_BROKER))
    assert topics_command([]) == 0
    return kafka_broker


def delete_topics(names: list[str]) -> None:
    """Delete a test's own topics, where they exist."""
    from tasks import kafka

    client = kafka.admin()
    for deleted in client.delete_topics(names).values():
        deleted.exception(30)


@pytest.fixture
def session_name() -> str:
    return f"channel-{uuid.uuid4().hex[:8]}"


class Workers:
    """Workers as separate processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: list[tuple[str, subprocess.Popen[bytes]]] = []
        self.paths: list[tuple[Path, subprocess.Popen[bytes]]] = []

    def start(self, name: str) -> subprocess.Popen[bytes]:
        flags = {
            "features": [f"--model={WEIGHTS}"],
            "recognise": [f"--model={WEIGHTS}"],
            "captions": [f"--live={self.live}", f"--transcripts={self.transcripts}"],
        }
        path = self.folder / f"{name}-{len(self.running)}.log"
        log = path.open("wb")
        command = [sys.executable, "-m", "tasks", "stream", name, *flags.get(name, [])]
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"})
        self.running.append((name, process))
        self.paths.append((path, process))
        return process

    @property
    def live(self) -> str:
        return (self.folder / "live").as_uri()

    @property
    def transcripts(self) -> str:
        return (self.folder / "transcripts").as_uri()

    def wait_for(self, process: subprocess.Popen[bytes], wait_s: float = 90.0) -> None:
        """Wait until a worker has partitions assigned."""
        log = next(path for path, found in self.paths if found is process)
        deadline = time.monotonic() + wait_s
        while b"partitions assigned" not in log.read_bytes():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)

    def running_one(self, name: str) -> subprocess.Popen[bytes]:
        """A running worker of a component; one is started if there is none."""
        running = (process for known, process in self.running if known == name and process.poll() is None)
        return next(running, None) or self.start(name)

    def stop(self) -> None:
        for _, process in self.running:
            process.terminate()
        for _, process in self.running:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                raise

    def logs(self) -> str:
        return "\n".join(f"{path.name}\n{path.read_text()}" for path in sorted(self.folder.glob("*.log")))


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    """Workers that go on for the next test, as they take seconds to start. The tests also ask for `kafka`."""
    group = Workers(tmp_path_factory.mktemp("workers"))
    yield group
    group.stop()


def read_topic(topic: str, session: str, until: Callable[[list[dict[str, Any]]], bool], wait_s: float) -> list[Any]:
    """Read a session's messages of a topic from its beginning, until a predicate holds."""
    from tasks import kafka

    kafka.wait_for_topics([topic])
    consumer = kafka.consumer(f"test-{uuid.uuid4().hex}")
    from confluent_kafka import TopicPartition

    count = len(consumer.list_topics(topic).topics[topic].partitions)
    consumer.assign([TopicPartition(topic, number, 0) for number in range(count)])
    found: list[dict[str, Any]] = []
    deadline = time.monotonic() + wait_s
    while not until(found) and time.monotonic() < deadline:
        message = consumer.poll(0.2)
        if message is not None and not message.error() and message.key() == session.encode():
            found.append(json.loads(message.value()))
    consumer.close()
    return found


def push_all(component: Component, messages: list[Any], session: str = "s") -> list[Any]:
    """Push messages through one session of a component and return the outputs."""
    opened = component.open(session, None)
    return [outgoing for message in messages for outgoing in opened.push(message)]


def resampled(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    stream = Resampler(rate_hz, 16_000)
    return np.concatenate([stream.push(samples), stream.finish()])
