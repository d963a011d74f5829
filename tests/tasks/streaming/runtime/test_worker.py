"""The worker: dead letters, duplicate and missing messages, crashes, undelivered outputs, idle sessions."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from tasks import kafka as streaming_kafka
from tasks.contract import InputRejected, Reason, StepError
from tasks.streaming.components import prepare
from tasks.streaming.runtime.messages import AudioBlock, LiveMessage, PreparedAudio, State
from tasks.streaming.runtime.metrics import Health, WorkerMetrics
from tasks.streaming.runtime.session import Component, IdleTimeout
from tasks.streaming.runtime.worker import Worker
from tasks.streaming.topics import Topic, make_topics
from tests.tasks.streaming.conftest import blocks_of, delete_topics, read_topic

pytestmark = pytest.mark.timeout(120)


class Died(BaseException):
    """Stands for kill -9: nothing is saved, nothing committed."""


class Count(State):
    session: str
    count: int = 0


class Counter:
    """Outputs a running count of messages. Raises `Died` once if `is_mortal`."""

    is_mortal = False

    def __init__(self, session: str, saved: bytes | None = None) -> None:
        self.state = Count.model_validate_json(saved) if saved else Count(session=session)

    def save(self) -> bytes:
        return self.state.model_dump_json().encode()

    def push(self, message: AudioBlock) -> Iterator[LiveMessage]:
        if Counter.is_mortal and message.sequence == 7:
            Counter.is_mortal = False
            raise Died
        state = self.state
        yield PreparedAudio(
            session=state.session, sequence=state.count, start_ms=0, first_sample=message.sequence, audio=b"", speech=()
        )
        state.count += 1


@pytest.fixture
def counter(kafka: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Component]:
    """A component with its own topics, isolated from other tests."""
    token = uuid.uuid4().hex[:8]
    monkeypatch.setattr(AudioBlock, "TOPIC", f"in.{token}")
    monkeypatch.setattr(PreparedAudio, "TOPIC", f"out.{token}")
    component = Component(f"counter-{token}", AudioBlock, Counter, version=1)
    dead = AudioBlock.TOPIC + streaming_kafka.DEAD_LETTER_SUFFIX
    names = [AudioBlock.TOPIC, PreparedAudio.TOPIC, component.state_topic, dead]
    make_topics(streaming_kafka.admin(), [Topic(name, 2) for name in names])
    yield component
    delete_topics(names)


class Running:
    """A worker in a thread."""

    def __init__(self, component: Component) -> None:
        self.metrics, self.health, self.stop = WorkerMetrics(component.name), Health(), threading.Event()
        self.died: BaseException | None = None
        self._worker = Worker(component, self.metrics, self.health)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self._worker.run(self.stop)
        except BaseException as error:
            self.died = error

    def end(self) -> None:
        self.stop.set()
        self.thread.join(30)
        assert not self.thread.is_alive()

    def value(self, name: str) -> float:
        found = self.metrics.registry.get_sample_value(
            f"airscript_stream_{name}", {"component": self.metrics.component}
        )
        return found or 0.0


def send(values: list[tuple[str, bytes]]) -> None:
    client = streaming_kafka.producer()
    for key, value in values:
        streaming_kafka.send(client, AudioBlock.TOPIC, key, value)
    assert not client.flush(30)


def processed(session: str, n: int) -> list[int]:
    """Return the input sequence numbers that have outputs, by the outputs' own numbers; repeats must be equal."""
    found = read_topic(PreparedAudio.TOPIC, session, lambda found: len({m["sequence"] for m in found}) >= n, 60)
    answers: dict[int, int] = {}
    for message in found:
        assert answers.setdefault(message["sequence"], message["first_sample"]) == message["first_sample"]
    return [answers[sequence] for sequence in sorted(answers)]


def test_invalid_duplicate_and_missing_messages(counter: Component, session_name: str) -> None:
    blocks = [(session_name, block.to_bytes()) for block in blocks_of(np.zeros(16_000 * 3), 16_000, session_name)]
    torn = (session_name, b'{"session": ')
    strange = (session_name, blocks[0][1].replace(b'"schema_version":1', b'"schema_version":9'))
    foreign = ("another-session", blocks[3][1])
    send([*blocks[:3], blocks[2], torn, strange, foreign, blocks[1], *blocks[6:]])
    worker = Running(counter)
    assert processed(session_name, 12) == [0, 1, 2, *range(6, 15)]
    dead = read_topic_raw(AudioBlock.TOPIC + streaming_kafka.DEAD_LETTER_SUFFIX, 3)
    assert sorted(value for _, value in dead) == sorted(value for _, value in (torn, strange, foreign))
    worker.end()
    assert worker.died is None
    assert worker.value("duplicates_total") == 2
    assert worker.value("gaps_total") == 3
    assert worker.value("dead_letters_total") == 3


def read_topic_raw(topic: str, n: int) -> list[tuple[bytes, bytes]]:
    from confluent_kafka import TopicPartition

    streaming_kafka.wait_for_topics([topic])
    consumer = streaming_kafka.consumer(f"test-{uuid.uuid4().hex}")
    count = len(consumer.list_topics(topic).topics[topic].partitions)
    consumer.assign([TopicPartition(topic, number, 0) for number in range(count)])
    found: list[tuple[bytes, bytes]] = []
    for _ in range(100):
        message = consumer.poll(0.2)
        if message is not None and not message.error():
            found.append((message.key() or b"", message.value() or b""))
        if len(found) >= n:
            break
    consumer.close()
    return found


def test_a_killed_worker_is_resumed_where_it_was(counter: Component, session_name: str) -> None:
    blocks = [(session_name, block.to_bytes()) for block in blocks_of(np.zeros(16_000 * 3), 16_000, session_name)]
    send(blocks[:14])
    Counter.is_mortal = True
    first = Running(counter)
    first.thread.join(60)
    assert isinstance(first.died, Died)
    second = Running(counter)
    assert processed(session_name, 14) == list(range(14))
    second.end()
    assert second.died is None
    # A third worker has nothing to replay: everything is committed, and the state is saved.
    third = Running(counter)
    send(blocks[14:])
    assert processed(session_name, 15) == list(range(15))
    third.end()
    assert third.value("messages_total") == 1
    assert third.value("sessions_rebuilt_total") == 1


class PartialProducer:
    """A producer that never delivers the messages of one topic."""

    def __init__(self, topic: str) -> None:
        self._topic, self._producer, self._n_held = topic, streaming_kafka.producer(), 0

    def produce(self, topic: str, **message: Any) -> None:
        if topic == self._topic:
            self._n_held += 1
        else:
            self._producer.produce(topic, **message)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._producer, name)

    def flush(self, timeout_s: float) -> int:
        return self._producer.flush(timeout_s) + self._n_held


@pytest.mark.parametrize("has_ended", [False, True])
def test_undelivered_outputs_are_sent_by_the_next_owner(
    counter: Component, session_name: str, monkeypatch: pytest.MonkeyPatch, has_ended: bool
) -> None:
    """A snapshot written before the outputs that it covers would make the next owner skip them."""
    blocks = [(session_name, block.to_bytes()) for block in blocks_of(np.zeros(16_000 * 3), 16_000, session_name)]
    send(blocks if has_ended else blocks[:9])
    away = PartialProducer(PreparedAudio.TOPIC)
    with monkeypatch.context() as patched:
        patched.setattr("tasks.streaming.runtime.worker.SNAPSHOT_EVERY_S", 0.0)
        patched.setattr(streaming_kafka, "producer", lambda: away)
        first = Running(counter)
        first.thread.join(60)
    assert isinstance(first.died, StepError)
    assert first.died.reason is Reason.UNAVAILABLE
    second = Running(counter)
    send(blocks[9:])
    assert processed(session_name, 15) == list(range(15))
    second.end()
    assert second.died is None


def test_a_worker_that_hangs_loses_its_partitions(
    counter: Component, session_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its client goes on sending heartbeats, so only `max.poll.interval.ms` bounds what others wait for it."""
    config = {"log_level": 0} | streaming_kafka.client_config() | {"max.poll.interval.ms": 6_000}
    monkeypatch.setenv(streaming_kafka.CONFIG_VARIABLE, json.dumps(config))
    push, hangs, released = Counter.push, iter([True]), threading.Event()

    def hang_once(session: Counter, message: AudioBlock) -> Iterator[LiveMessage]:
        if message.sequence == 5 and next(hangs, False):
            released.wait(60)
        yield from push(session, message)

    monkeypatch.setattr(Counter, "push", hang_once)
    blocks = blocks_of(np.zeros(16_000 * 3), 16_000, session_name)
    send([(session_name, block.to_bytes()) for block in blocks])
    first = Running(counter)
    assert processed(session_name, 5) == list(range(5))
    second = Running(counter)
    assert processed(session_name, 15) == list(range(15))
    assert not released.is_set()
    save, savers = Worker._save, []
    monkeypatch.setattr(Worker, "_save", lambda self, *values: savers.append(self) or save(self, *values))
    released.set()
    first.end()
    assert first._worker not in savers, "its states are older than those of the partitions' owner"
    second.end()
    assert first.died is None
    assert second.died is None


@pytest.mark.parametrize(
    "fault", [ZeroDivisionError("five"), InputRejected("five", reason=Reason.CORRUPT)], ids=lambda f: type(f).__name__
)
def test_a_poison_message_stops_one_worker_and_is_dead_lettered_by_the_next(
    counter: Component, session_name: str, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def fail_at_five(session: Counter, message: AudioBlock) -> Iterator[LiveMessage]:
        yield from push(session, message)
        if message.sequence == 5:
            raise fault  # after an output, which must not be sent

    push = Counter.push
    monkeypatch.setattr(Counter, "push", fail_at_five)
    blocks = [(session_name, block.to_bytes()) for block in blocks_of(np.zeros(16_000 * 3), 16_000, session_name)]
    send(blocks)
    first = Running(counter)
    first.thread.join(60)
    assert first.died is fault
    second = Running(counter)
    assert processed(session_name, 14) == [n for n in range(15) if n != 5]
    second.end()
    assert second.died is None
    assert second.value("dead_letters_total") == 1
    ((_, dead),) = read_topic_raw(AudioBlock.TOPIC + streaming_kafka.DEAD_LETTER_SUFFIX, 1)
    assert dead == blocks[5][1]


def test_the_owner_ends_a_session_whose_feeder_is_gone(counter: Component, session_name: str) -> None:
    patient = replace(counter, idle_timeout=IdleTimeout(3600.0, prepare.last_block))
    blocks = [(session_name, block.to_bytes()) for block in blocks_of(np.zeros(16_000 * 3), 16_000, session_name)]
    send(blocks[:4])
    first = Running(patient)
    assert processed(session_name, 4) == [0, 1, 2, 3]
    first.end()
    assert not ends(session_name, 4)
    second = Running(
        replace(patient, idle_timeout=IdleTimeout(1.0, prepare.last_block))
    )  # it gets no message and must notice anyway
    assert processed(session_name, 5) == [0, 1, 2, 3, 4]
    with capture_logs() as lines:
        send(blocks[5:])  # the feeder is back, but its session has ended
        assert ends(session_name, 15) == [4]
        second.end()
    assert len([line for line in lines if line["event"].startswith("message after the end of its session")]) == 1
    assert second.died is None
    assert not [n for n in processed(session_name, 5) if n > 4]


def ends(session: str, n: int) -> list[int]:
    """Return the sequence numbers of the empty last blocks among a session's first `n` blocks."""
    found = read_topic(AudioBlock.TOPIC, session, lambda found: len(found) >= n, 30)
    return [block["sequence"] for block in found if block["is_last"] and not block["audio"]]
