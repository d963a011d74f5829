"""The loop: dead letters, doubled and missing messages, a worker that dies, figures and health."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from tasks import kafka as streaming_kafka
from tasks.contract import InputRejected, Misconfigured, Reason
from tasks.streaming.announce import main as announce
from tasks.streaming.command import main as stream
from tasks.streaming.components import prepare
from tasks.streaming.runtime.messages import AudioBlock, LiveMessage, PreparedAudio, State
from tasks.streaming.runtime.metrics import Health, WorkerMetrics, serve
from tasks.streaming.runtime.session import Component, Ending
from tasks.streaming.runtime.worker import Worker
from tests.tasks.streaming.conftest import blocks_of, read_topic

pytestmark = pytest.mark.timeout(120)


class Died(BaseException):
    """Stands for kill -9: nothing is saved and nothing is committed."""


class Count(State):
    session: str
    heard: int = 0


class Counter:
    """Says for each message how many it has heard. Dies when it is told to."""

    mortal = False

    def __init__(self, session: str, saved: bytes | None = None) -> None:
        self.state = Count.model_validate_json(saved) if saved else Count(session=session)

    def save(self) -> bytes:
        return self.state.model_dump_json().encode()

    def push(self, message: AudioBlock) -> Iterator[LiveMessage]:
        if Counter.mortal and message.sequence == 7:
            Counter.mortal = False
            raise Died
        state = self.state
        yield PreparedAudio(
            session=state.session, sequence=state.heard, start_ms=0, first_sample=message.sequence, audio=b"", speech=()
        )
        state.heard += 1


@pytest.fixture
def counter(kafka: str, monkeypatch: pytest.MonkeyPatch) -> Component:
    """A component with topics of its own, so that no other test's messages are in its way."""
    token = uuid.uuid4().hex[:8]
    monkeypatch.setattr(AudioBlock, "TOPIC", f"in.{token}")
    monkeypatch.setattr(PreparedAudio, "TOPIC", f"out.{token}")
    return Component(f"counter-{token}", AudioBlock, Counter, version=1)


class Running:
    """A worker in a thread."""

    def __init__(self, component: Component) -> None:
        self.metrics, self.health, self.stop = WorkerMetrics(component.name), Health(), threading.Event()
        self.died: BaseException | None = None
        self._worker = Worker(component, self.metrics, self.health)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._worker.run(self.stop)
        except BaseException as error:
            self.died = error

    def end(self) -> None:
        self.stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive()

    def value(self, name: str) -> float:
        found = self.metrics.registry.get_sample_value(
            f"airscript_stream_{name}", {"component": self.metrics._component}
        )
        return found or 0.0


def send(values: list[tuple[str, bytes]]) -> None:
    client = streaming_kafka.producer()
    for key, value in values:
        streaming_kafka.send(client, AudioBlock.TOPIC, key, value)
    assert not client.flush(30)


def heard(session: str, n: int) -> list[int]:
    """The input sequence numbers that were answered, by the answers' own numbers; readers pass over repeats."""
    found = read_topic(PreparedAudio.TOPIC, session, lambda found: len({m["sequence"] for m in found}) >= n, 60)
    answers: dict[int, int] = {}
    for message in found:
        assert answers.setdefault(message["sequence"], message["first_sample"]) == message["first_sample"]
    return [answers[sequence] for sequence in sorted(answers)]


def test_bad_doubled_and_missing_messages(counter: Component, session_name: str) -> None:
    blocks = [(session_name, block.to_bytes()) for block in blocks_of(np.zeros(16_000 * 3), 16_000, session_name)]
    torn = (session_name, b'{"session": ')
    strange = (session_name, blocks[0][1].replace(b'"schema_version":1', b'"schema_version":9'))
    foreign = ("another-session", blocks[3][1])
    send([*blocks[:3], blocks[2], torn, strange, foreign, blocks[1], *blocks[6:]])
    worker = Running(counter)
    assert heard(session_name, 12) == [0, 1, 2, *range(6, 15)]
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


def test_what_dies_in_the_middle_is_taken_up_where_it_was(counter: Component, session_name: str) -> None:
    blocks = [(session_name, block.to_bytes()) for block in blocks_of(np.zeros(16_000 * 3), 16_000, session_name)]
    send(blocks[:14])
    Counter.mortal = True
    first = Running(counter)
    first._thread.join(60)
    assert isinstance(first.died, Died)
    second = Running(counter)
    assert heard(session_name, 14) == list(range(14))
    second.end()
    assert second.died is None
    # A third finds nothing to do: all is committed, and the state is saved.
    third = Running(counter)
    send(blocks[14:])
    assert heard(session_name, 15) == list(range(15))
    third.end()
    assert third.value("messages_total") == 1
    assert third.value("sessions_rebuilt_total") == 1


class HalfAway:
    """A producer to whose brokers one topic's messages do not come, while others' do."""

    def __init__(self, topic: str) -> None:
        self._topic, self._behind, self._waiting = topic, streaming_kafka.producer(), 0

    def produce(self, topic: str, **message: Any) -> None:
        if topic == self._topic:
            self._waiting += 1
        else:
            self._behind.produce(topic, **message)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._behind, name)

    def flush(self, timeout_s: float) -> int:
        return self._behind.flush(timeout_s) + self._waiting


@pytest.mark.parametrize("has_ended", [False, True])
def test_what_was_not_delivered_is_said_by_the_next_owner(
    counter: Component, session_name: str, monkeypatch: pytest.MonkeyPatch, has_ended: bool
) -> None:
    """A snapshot that came before the outputs that it covers would make the next owner pass over them."""
    blocks = [(session_name, block.to_bytes()) for block in blocks_of(np.zeros(16_000 * 3), 16_000, session_name)]
    send(blocks if has_ended else blocks[:9])
    away = HalfAway(PreparedAudio.TOPIC)
    with monkeypatch.context() as patched:
        patched.setattr("tasks.streaming.runtime.worker.SNAPSHOT_EVERY_S", 0.0)
        patched.setattr(streaming_kafka, "producer", lambda: away)
        first = Running(counter)
        first._thread.join(60)
    assert isinstance(first.died, ConnectionError)
    second = Running(counter)
    send(blocks[9:])
    assert heard(session_name, 15) == list(range(15))
    second.end()
    assert second.died is None


@pytest.mark.parametrize(
    "fault", [ZeroDivisionError("five"), InputRejected("five", reason=Reason.CORRUPT)], ids=lambda f: type(f).__name__
)
def test_what_cannot_be_digested_stops_one_worker_and_is_put_aside_by_the_next(
    counter: Component, session_name: str, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def choke(session: Counter, message: AudioBlock) -> Iterator[LiveMessage]:
        yield from push(session, message)
        if message.sequence == 5:
            raise fault  # after an answer: it must not be half said

    push = Counter.push
    monkeypatch.setattr(Counter, "push", choke)
    blocks = [(session_name, block.to_bytes()) for block in blocks_of(np.zeros(16_000 * 3), 16_000, session_name)]
    send(blocks)
    first = Running(counter)
    first._thread.join(60)
    assert first.died is fault
    second = Running(counter)
    assert heard(session_name, 14) == [n for n in range(15) if n != 5]
    second.end()
    assert second.died is None
    assert second.value("dead_letters_total") == 1
    ((_, dead),) = read_topic_raw(AudioBlock.TOPIC + streaming_kafka.DEAD_LETTER_SUFFIX, 1)
    assert dead == blocks[5][1]


def test_a_session_whose_feeder_is_gone_is_ended_by_whoever_owns_it(counter: Component, session_name: str) -> None:
    patient = replace(counter, ending=Ending(3600.0, prepare.last_block))
    blocks = [(session_name, block.to_bytes()) for block in blocks_of(np.zeros(16_000 * 3), 16_000, session_name)]
    send(blocks[:4])
    first = Running(patient)
    assert heard(session_name, 4) == [0, 1, 2, 3]
    first.end()
    assert not ends(session_name, 4)
    second = Running(
        replace(patient, ending=Ending(1.0, prepare.last_block))
    )  # nothing comes to it, and it must notice all the same
    assert heard(session_name, 5) == [0, 1, 2, 3, 4]
    with capture_logs() as lines:
        send(blocks[5:])  # the feeder is back, but its session has ended
        assert ends(session_name, 15) == [4]
        second.end()
    assert len([line for line in lines if line["event"].startswith("a session that has ended")]) == 1
    assert second.died is None
    assert not [n for n in heard(session_name, 5) if n > 4]


def ends(session: str, n: int) -> list[int]:
    """Sequence numbers of the empty blocks that end a session, among the first `n` of its blocks."""
    found = read_topic(AudioBlock.TOPIC, session, lambda found: len(found) >= n, 30)
    return [block["sequence"] for block in found if block["is_last"] and not block["audio"]]


def test_figures_and_health() -> None:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    metrics, health = WorkerMetrics("prepare"), Health()
    metrics.gaps.inc(3)
    stop = serve(metrics, health, port)

    def get(path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    assert get("/live")[0] == 200
    assert get("/ready")[0] == 503
    health.ready = True
    assert get("/ready")[0] == 200
    assert 'airscript_stream_gaps_total{component="prepare"} 3.0' in get("/metrics")[1]
    assert get("/else")[0] == 404
    stop()


def test_media_are_announced(kafka: str, tmp_path: Path) -> None:
    medium = tmp_path / "evening news.mp4"
    medium.write_bytes(b"x" * 7)
    programme = f"news-{uuid.uuid4().hex[:8]}"
    uri = medium.as_uri()
    assert announce([f"--media={uri}", f"--programme={programme}", "--metadata=channel=one"]) == 0
    (event,) = read_topic("media.arrived", programme, bool, 30)
    assert (event["uri"], event["n_bytes"], event["metadata"]) == (uri, 7, {"channel": "one"})


def test_commands_say_what_is_wrong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AIRSCRIPT_KAFKA", raising=False)
    for argv in (["nobody"], ["feed", "--input=x.wav", "--session=Not A Name"], ["recognise", "--unknown=1"]):
        with pytest.raises(Misconfigured):
            stream(argv)
    with pytest.raises(Misconfigured, match="AIRSCRIPT_KAFKA"):
        streaming_kafka.producer()
    monkeypatch.setenv("AIRSCRIPT_KAFKA", "127.0.0.1:1")
    (tmp_path / "broken.json").write_text("{")
    monkeypatch.setenv("AIRSCRIPT_KAFKA_CONFIG", str(tmp_path / "broken.json"))
    with pytest.raises(Misconfigured, match="broken"):
        streaming_kafka.producer()
    assert json.loads(prepare.PrepareSession("s").save())["session"] == "s"
