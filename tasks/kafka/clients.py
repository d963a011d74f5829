"""Configuration of Kafka clients, and producing with backpressure."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.contract import Misconfigured, Reason
from tasks.contract.events import Event
from tasks.kafka.errors import error_of, unavailable

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Message, Producer
    from confluent_kafka.admin import AdminClient

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


def producer(on_error: Callable[[KafkaError], None] | None = None) -> Producer:
    """Return an idempotent producer with a bounded queue: retries neither duplicate nor reorder messages.

    `on_error` gets what befalls the client as a whole, such as a refused login.
    """
    from confluent_kafka import Producer

    return Producer(
        {
            "enable.idempotence": True,
            "linger.ms": 5,
            "compression.type": "lz4",
            "partitioner": "murmur2_random",  # as Java clients: equal keys go to equal partitions
            "queue.buffering.max.kbytes": 32_768,
            **({"error_cb": on_error} if on_error else {}),
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
            # After it, a member that still sends heartbeats but no longer polls loses its partitions; so long, too, do
            # brokers let others wait for it in a rebalance. `/live` counts a worker as stalled after the same time.
            "max.poll.interval.ms": 60_000,
            "queued.max.messages.kbytes": 8_192,
            "fetch.message.max.bytes": 2_000_000,
            # librdkafka's mock cluster holds fetches this long even when data is available: at the default of 0.5 s,
            # five hops were half of a caption's latency.
            "fetch.wait.max.ms": 50,
            **client_config(),
            **settings,
        }
    )


def admin() -> AdminClient:
    """Return a client that creates and describes topics."""
    from confluent_kafka.admin import AdminClient

    return AdminClient(_producer_config())


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
    """Produce a message, blocking while the queue is full: backpressure on fast senders.

    Raises:
        StepError: the producer refuses it. After a fatal error it refuses everything: open another.
    """
    from confluent_kafka import KafkaException

    while True:
        try:
            to.produce(topic, key=key, value=value, on_delivery=on_delivery, **options)
            to.poll(0)
            return
        except BufferError:
            to.poll(0.1)
        except KafkaException as error:
            raise error_of([error.args[0]], topic) from error


def flush(client: Producer) -> list[KafkaError]:
    """Wait for delivery, up to `FLUSH_S`. Return the error if the producer died, or if messages are left."""
    from confluent_kafka import KafkaError, KafkaException

    try:
        n_left = client.flush(FLUSH_S)
    except KafkaException as error:
        return [error.args[0]]
    return [KafkaError(KafkaError._TIMED_OUT, f"{n_left} messages are not acknowledged")] if n_left else []


def publish(*events: Event) -> None:
    """Publish events, and return when the brokers have acknowledged them. Does nothing where Kafka is off.

    Raises:
        StepError: an event was not acknowledged in time.
    """
    if not events or not is_configured():
        return
    failures: list[KafkaError] = []
    client = producer(failures.append)
    undelivered: list[KafkaError] = []
    for event in events:
        send(client, event.TOPIC, event.key, event.to_bytes(), failure_recorder(undelivered))
    left = flush(client)
    if undelivered or left:
        raise error_of([*undelivered, *failures, *left], events[0].TOPIC)


def failure_recorder(failures: list[KafkaError]) -> OnDelivery:
    """Return a delivery callback that appends errors to `failures`."""

    def record(error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            failures.append(error)

    return record


def wait_for_topics(topics: list[str], timeout_s: float = 30.0) -> dict[str, int]:
    """Wait until all topics exist and return their partition counts. Creates them where brokers auto-create topics.

    Raises:
        StepError: a topic is missing, or no broker responds.
        Misconfigured: the brokers refuse this client.
    """
    from confluent_kafka import KafkaException

    errors: list[KafkaError] = []
    client = producer(errors.append)
    deadline = time.monotonic() + timeout_s
    while True:
        missing: dict[str, KafkaError | None] = {}
        counts = {}
        for topic in topics:
            try:
                found = client.list_topics(topic, timeout=timeout_s).topics[topic]
            except KafkaException as error:
                client.poll(0)  # serves `on_error`
                raise error_of([*errors, error.args[0]], client_config()["bootstrap.servers"]) from None
            counts[topic] = len(found.partitions)
            if not counts[topic]:
                missing[topic] = found.error
        if not missing:
            return counts
        if time.monotonic() > deadline:
            names = ", ".join(missing)
            reasons = [error for error in missing.values() if error]
            raise error_of(reasons, names) if reasons else unavailable("the topics do not exist", names)
        time.sleep(0.2)
