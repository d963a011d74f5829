"""A worker's producer: outputs, snapshots and dead letters, with delivery checked at every flush."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tasks import kafka
from tasks.contract.events import Event
from tasks.streaming.runtime.partitions import POISON_PREFIX
from tasks.streaming.runtime.session import Component, Outgoing
from tasks.streaming.runtime.snapshots import Snapshot

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message


class Outbox:
    """Sends asynchronously; `flush` waits for delivery."""

    def __init__(self, component: Component) -> None:
        self._component = component
        self._producer = kafka.producer()
        self._failures: list[KafkaError] = []

    def send(self, outgoing: Outgoing) -> None:
        key = outgoing.key if isinstance(outgoing, Event) else outgoing.session
        self._send(outgoing.TOPIC, key, outgoing.to_bytes())

    def send_input(self, outgoing: Outgoing, session: str, partition: int) -> None:
        """Append a message to the component's own input topic."""
        self._send(self._component.consumes.TOPIC, session, outgoing.to_bytes(), partition=partition)

    def send_snapshot(self, snapshot: Snapshot, session: str, partition: int) -> None:
        """Save a state. The session's outputs must have been delivered: a restored session does not repeat them."""
        self._send(self._component.state_topic, session, snapshot.to_bytes(), partition=partition)

    def send_dead_letter(self, message: Message, error: str) -> None:
        """Copy an unprocessable message to the dead-letter topic, with the error in a header."""
        topic = self._component.consumes.TOPIC
        headers = {"error": error[:2000], "topic": topic, "offset": str(message.offset())}
        self._send(
            topic + kafka.DEAD_LETTER_SUFFIX, message.key(), message.value() or b"", headers=list(headers.items())
        )

    def mark_poison(self, error: str, offset: int, partition: int) -> None:
        """Record in the state topic that the message at `offset` must be skipped, and wait for delivery."""
        key = f"{POISON_PREFIX}{offset}"
        self._send(self._component.state_topic, key, error.encode()[:2000], partition=partition)
        self.flush()

    def flush(self) -> None:
        """Wait until everything is delivered.

        Raises:
            StepError: something was not. The worker must end without a commit: the next owner sends it again.
        """
        left = kafka.flush(self._producer)
        if errors := [*self._failures, *left]:
            raise kafka.error_of(errors, f"outputs of {self._component.name}")

    def _send(self, topic: str, key: str | bytes | None, value: bytes, **options: Any) -> None:
        kafka.send(self._producer, topic, key, value, kafka.failure_recorder(self._failures), **options)
