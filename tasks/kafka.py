"""Kafka clients: their configuration, and producing with backpressure. Used by workers, feeders and events alike."""

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

BROKERS_VARIABLE = "AIRSCRIPT_KAFKA"
"""Bootstrap servers, comma-separated host:port. Unset: Kafka is off."""
CONFIG_VARIABLE = "AIRSCRIPT_KAFKA_CONFIG"
"""Further librdkafka settings (security, certificates, timeouts): a JSON object, or the path of a file with one."""
DEAD_LETTER_SUFFIX = ".dead"
"""`<topic>.dead` is the dead-letter topic of a topic."""
POLL_S = 0.2  # poll timeout, after which a loop runs its timers
FLUSH_S = 30.0


def is_configured(environ: Mapping[str, str] = os.environ) -> bool:
    return bool(environ.get(BROKERS_VARIABLE))


def client_config(environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Return the settings that all clients share.

    Raises:
        Misconfigured: no brokers are set, or the further settings cannot be parsed.
    """
    if not is_configured(environ):
        raise Misconfigured(
            "no Kafka brokers are set",
            reason=Reason.INVALID_ARGUMENT,
            subject=BROKERS_VARIABLE,
            next_step=f"set {BROKERS_VARIABLE} to host:port of one or more brokers",
        )
    more: dict[str, Any] = {}
    if given := environ.get(CONFIG_VARIABLE):
        is_inline = given.lstrip().startswith("{")  # as pods get it from a secret
        try:
            more = dict(json.loads(given if is_inline else Path(given).read_bytes()))
        except (OSError, ValueError, TypeError) as error:
            raise Misconfigured(
                f"not a readable JSON object: {error}",
                reason=Reason.INVALID_ARGUMENT,
                subject=CONFIG_VARIABLE if is_inline else f"{CONFIG_VARIABLE}={given}",  # inline JSON may hold secrets
                next_step="set it to librdkafka settings as JSON, or to the path of a file with them",
            ) from None
    return {"bootstrap.servers": environ[BROKERS_VARIABLE], **more}


def producer() -> Producer:
    """Return an idempotent producer with a bounded queue: retries neither duplicate nor reorder messages."""
    from confluent_kafka import Producer

    return Producer(
        {
            "enable.idempotence": True,
            "linger.ms": 5,
            "compression.type": "lz4",
            "partitioner": "murmur2_random",  # as Java clients: equal keys go to equal partitions
            "queue.buffering.max.kbytes": 32_768,
            **_producer_config(),
        }
    )


def consumer(group: str, **settings: Any) -> Consumer:
    """Return a consumer without auto-commit that prefetches at most 8 MB."""
    from confluent_kafka import Consumer

    return Consumer(
        {
            "group.id": group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            "partition.assignment.strategy": "cooperative-sticky",
            # The brokers' default minimum; a dead worker's partitions are reassigned after it.
            "session.timeout.ms": 6_000,
            "heartbeat.interval.ms": 1_000,
            "queued.max.messages.kbytes": 8_192,
            "fetch.message.max.bytes": 2_000_000,
            # librdkafka's mock cluster holds fetches this long even when data is available: at the default of 0.5 s,
            # five hops were half of a caption's latency.
            "fetch.wait.max.ms": 50,
            **client_config(),
            **settings,
        }
    )


# Consumer settings, of which a producer would warn.
_CONSUMER_ONLY = ("session.timeout.ms", "heartbeat.interval.ms", "max.poll.interval.ms", "group.", "fetch.", "queued.")


def _producer_config() -> dict[str, Any]:
    return {name: value for name, value in client_config().items() if not name.startswith(_CONSUMER_ONLY)}


def send(
    to: Producer,
    topic: str,
    key: str | bytes | None,
    value: bytes,
    on_delivery: OnDelivery | None = None,
    **options: Any,
) -> None:
    """Produce a message, blocking while the queue is full: backpressure on fast senders."""
    while True:
        try:
            to.produce(topic, key=key, value=value, on_delivery=on_delivery, **options)
        except BufferError:
            to.poll(0.1)
        else:
            to.poll(0)
            return


def publish(*events: Event) -> None:
    """Publish events, and return when the brokers have acknowledged them. Does nothing where Kafka is off.

    Raises:
        ConnectionError: an event was not acknowledged in time.
    """
    if not events or not is_configured():
        return
    failures: list[str] = []
    client = producer()
    for event in events:
        send(client, event.TOPIC, event.key, event.to_bytes(), failure_recorder(failures))
    left = client.flush(FLUSH_S)
    if failures or left:
        raise ConnectionError(
            f"{events[0].TOPIC} was not delivered to Kafka: {failures[0] if failures else 'timed out'}"
        )


def failure_recorder(failures: list[str]) -> OnDelivery:
    """Return a delivery callback that appends errors to `failures`."""

    def record(error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            failures.append(str(error))

    return record


def wait_for_topics(topics: list[str], timeout_s: float = 30.0) -> dict[str, int]:
    """Wait until all topics exist and return their partition counts. Creates them where brokers auto-create topics.

    Raises:
        ConnectionError: a topic is missing, or no broker responds.
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
