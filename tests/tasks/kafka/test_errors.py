"""What goes wrong with brokers is told with a next step, and what can be mended is mended."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import KafkaError

from benchmarks.support.kafka_brokers import faulty_cluster
from tasks import kafka
from tasks.contract import Misconfigured, Reason, StepError
from tasks.contract.events import ModelPromoted
from tasks.kafka.errors import error_of
from tasks.streaming.components import prepare
from tasks.streaming.feed import BlockSender
from tasks.streaming.runtime.messages import AudioBlock
from tasks.streaming.runtime.metrics import Health, WorkerMetrics
from tasks.streaming.runtime.worker import Worker
from tests.tasks.streaming.conftest import read_topic

pytestmark = pytest.mark.timeout(120)

PRODUCE, JOIN_GROUP = 0, 11
OUT_OF_ORDER_SEQUENCE, INVALID_SESSION_TIMEOUT, TOPIC_AUTHORIZATION_FAILED = 45, 26, 29


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    with faulty_cluster() as (addresses, answer):
        monkeypatch.setenv(kafka.BROKERS_VARIABLE, addresses)
        monkeypatch.delenv(kafka.CONFIG_VARIABLE, raising=False)
        yield answer


def test_brokers_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(kafka.BROKERS_VARIABLE, "127.0.0.1:1")
    with pytest.raises(StepError, match=r"127\.0\.0\.1:1: Kafka: .*brokers of AIRSCRIPT_KAFKA are running") as error:
        kafka.wait_for_topics(["live.audio"], timeout_s=1.0)
    assert error.value.reason is Reason.UNAVAILABLE
    assert not isinstance(error.value, Misconfigured)


def test_a_refused_login_goes_before_the_brokers_that_are_down_after_it() -> None:
    errors = [KafkaError(KafkaError._AUTHENTICATION), KafkaError(KafkaError._ALL_BROKERS_DOWN)]
    error = error_of(errors, "kafka:9092")
    assert isinstance(error, Misconfigured)
    assert "the brokers refuse the credentials" in str(error)
    assert error_of(errors[1:], "kafka:9092").reason is Reason.UNAVAILABLE
    assert error_of([], "kafka:9092").reason is Reason.UNAVAILABLE


def test_an_event_without_a_right_to_its_topic(faults: Callable[..., None]) -> None:
    faults(PRODUCE, *[TOPIC_AUTHORIZATION_FAILED] * 10)
    event = ModelPromoted(
        produced_at="2026-01-01T00:00:00Z", name="m", version="1", before="", decided_by="rule", because="better"
    )
    with pytest.raises(Misconfigured, match=r"model\.promoted: no right to the topic"):
        kafka.publish(event)


def test_a_session_time_that_the_brokers_refuse_ends_the_worker(faults: Callable[..., None]) -> None:
    faults(JOIN_GROUP, *[INVALID_SESSION_TIMEOUT] * 100)
    worker = Worker(prepare.component(), WorkerMetrics("prepare"), Health())
    with pytest.raises(Misconfigured, match=r"refuse this session\.timeout\.ms"):
        worker.run(threading.Event())


def test_a_feeder_outlives_a_producer_whose_state_the_brokers_lost(faults: Callable[..., None]) -> None:
    kafka.wait_for_topics([AudioBlock.TOPIC])
    sender = BlockSender("broadcast")
    for number in range(30):
        if number == 10:
            sender.flush()
            faults(PRODUCE, OUT_OF_ORDER_SEQUENCE)
        sender.send(bytes(6400), 16_000, 1)
    sender.send(b"", 16_000, 1, is_last=True)
    sender.flush()
    found = read_topic(AudioBlock.TOPIC, "broadcast", lambda found: found[-1:] and found[-1]["is_last"], 30)
    first_of_each = list(dict.fromkeys(message["sequence"] for message in found))
    assert first_of_each == list(range(31))


def test_a_feeder_that_delivers_nothing_more_says_why(faults: Callable[..., None]) -> None:
    kafka.wait_for_topics([AudioBlock.TOPIC])
    sender = BlockSender("broadcast")
    sender.send(bytes(6400), 16_000, 1)
    sender.flush()
    faults(PRODUCE, *[TOPIC_AUTHORIZATION_FAILED] * 50)
    sender.send(bytes(6400), 16_000, 1)
    with pytest.raises(Misconfigured, match="no right to the topic"):
        sender.flush()
