"""Where Kafka is and how clients are set up. The only place that does so, for workers, feeders and events alike."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.contract import Misconfigured, Reason
from tasks.contract.events import Event

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Message, Producer

    OnDelivery = Callable[[KafkaError | None, Message], None]

BROKERS = "AIRSCRIPT_KAFKA"
"""Comma-separated host:port. Without it nothing here speaks to Kafka."""
CONFIG = "AIRSCRIPT_KAFKA_CONFIG"
"""More of librdkafka's settings: security, certificates, time limits. A JSON object, or the path of a file with one."""
DEAD = ".dead"
"""Suffix of the topic for what could not be read."""
POLL_S = 0.2  # a loop waits so long for a message before it looks at the clock
FLUSH_S = 30.0


def is_configured(environ: Mapping[str, str] = os.environ) -> bool:
    return bool(environ.get(BROKERS))


def base_config(environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """What every client needs.

    Raises:
        Misconfigured: no brokers, or settings that cannot be read.
    """
    if not is_configured(environ):
        raise Misconfigured(
            "no Kafka to speak to",
            reason=Reason.INVALID_ARGUMENT,
            subject=BROKERS,
            next_step=f"set {BROKERS} to host:port of one or more brokers",
        )
    more: dict[str, Any] = {}
    if given := environ.get(CONFIG):
        is_inline = given.lstrip().startswith("{")  # as a secret of pods has it
        try:
            more = dict(json.loads(given if is_inline else Path(given).read_bytes()))
        except (OSError, ValueError, TypeError) as error:
            raise Misconfigured(
                f"not a JSON object that can be read: {error}",
                reason=Reason.INVALID_ARGUMENT,
                subject=CONFIG if is_inline else f"{CONFIG}={given}",  # inline, passwords may be in it
                next_step="give librdkafka's settings as JSON, or the path of a file with them",
            ) from None
    return {"bootstrap.servers": environ[BROKERS], **more}


def producer() -> Producer:
    """An idempotent producer: retries neither double nor reorder. Its queue is bounded."""
    from confluent_kafka import Producer

    return Producer(
        {
            "enable.idempotence": True,
            "linger.ms": 5,
            "compression.type": "lz4",
            "partitioner": "murmur2_random",  # Java's, so that everybody's keys meet in the same partitions
            "queue.buffering.max.kbytes": 32_768,
            **_for("producer"),
        }
    )


def consumer(group: str, **settings: Any) -> Consumer:
    """A consumer that commits only when told to, and fetches ahead no more than 8 MB."""
    from confluent_kafka import Consumer

    return Consumer(
        {
            "group.id": group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            "partition.assignment.strategy": "cooperative-sticky",
            # The least that a broker allows by default; a dead worker's partitions move after it.
            "session.timeout.ms": 6_000,
            "heartbeat.interval.ms": 1_000,
            "queued.max.messages.kbytes": 8_192,
            "fetch.message.max.bytes": 2_000_000,
            # A broker may let a reader wait so long although there is something to read: librdkafka's mock cluster
            # does, and five hops of 0.5 s, the default, were half of a caption's latency.
            "fetch.wait.max.ms": 50,
            **_for("consumer"),
            **settings,
        }
    )


# What only one kind of client knows; the other would warn of it.
_CONSUMER_ONLY = ("session.timeout.ms", "heartbeat.interval.ms", "max.poll.interval.ms", "group.", "fetch.", "queued.")


def _for(kind: str) -> dict[str, Any]:
    config = base_config()
    if kind == "producer":
        return {name: value for name, value in config.items() if not name.startswith(_CONSUMER_ONLY)}
    return config


def send(
    to: Producer,
    topic: str,
    key: str | bytes | None,
    value: bytes,
    on_delivery: OnDelivery | None = None,
    **options: Any,
) -> None:
    """Produce, and wait while the queue is full: whoever sends too fast is slowed down, and nothing piles up."""
    while True:
        try:
            to.produce(topic, key=key, value=value, on_delivery=on_delivery, **options)
        except BufferError:
            to.poll(0.1)
        else:
            to.poll(0)
            return


def publish(*events: Event) -> None:
    """Say that something happened, and return when the brokers have it. Without Kafka, nothing.

    Raises:
        ConnectionError: they did not take it in time.
    """
    if not events or not is_configured():
        return
    failures: list[str] = []
    client = producer()
    for event in events:
        send(client, event.TOPIC, event.key, event.to_bytes(), noting(failures))
    left = client.flush(FLUSH_S)
    if failures or left:
        raise ConnectionError(f"Kafka did not take {events[0].TOPIC}: {failures[0] if failures else 'no answer'}")


def noting(failures: list[str]) -> OnDelivery:
    """A delivery report that writes down what went wrong."""

    def note(error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            failures.append(str(error))

    return note


def wait_for(topics: list[str], timeout_s: float = 30.0) -> dict[str, int]:
    """Partitions of topics, when all of them are there. Where brokers make topics on demand, this makes them.

    Raises:
        ConnectionError: one is missing, or nobody answers.
    """
    client = producer()
    deadline = time.monotonic() + timeout_s
    while True:
        missing = dict.fromkeys(topics, "")
        counts = {}
        for topic in topics:
            found = client.list_topics(topic, timeout=timeout_s).topics[topic]
            counts[topic], missing[topic] = len(found.partitions), str(found.error or "")
        if all(counts.values()):
            return counts
        if time.monotonic() > deadline:
            raise ConnectionError(f"topics are missing: {', '.join(t for t, n in counts.items() if not n)}: {missing}")
        time.sleep(0.2)
