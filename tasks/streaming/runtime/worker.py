"""The loop that all components share: consume, keep a state for each session, produce, commit.

One message at a time. Outputs go out at once; every second, when the brokers have confirmed them, the offsets are
committed from which all states can be rebuilt. A session's state is saved to a compacted topic every few seconds, with
the offset that it stands at, and never before the brokers have what was said up to there. So a new owner of a
partition (after a crash, a rebalance, a rollout) loads the snapshots, hears the messages after them again, and says
again what had been said, word for word.

Heartbeats go out from a thread of the client, so long work does not break the group; only one message's work has to be
shorter than `max.poll.interval.ms`.

A message that a component cannot digest stops the worker once, since its session's state may be half changed. Before,
it is marked in the topic of states; whoever takes over puts it aside.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog
from pydantic import ValidationError

from tasks import kafka
from tasks.contract import InputRejected
from tasks.contract.events import Event
from tasks.streaming.runtime.messages import LiveMessage
from tasks.streaming.runtime.metrics import Health, WorkerMetrics
from tasks.streaming.runtime.session import Component, Session
from tasks.streaming.runtime.snapshots import Snapshot, latest_snapshots

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

log = structlog.get_logger()

COMMIT_EVERY_S = 1.0
SNAPSHOT_EVERY_S = 8.0  # so much is heard again at most
FORGET_AFTER_S = 3600.0  # a session that is silent so long leaves memory
MARK = "!"  # begins the key of a mark among the states; no session's name does

# What a message can bring about. Storage and network fail with OSError, and a wrong setting with Misconfigured: then
# the message is not to blame.
INDIGESTIBLE = (
    InputRejected,
    ValueError,
    TypeError,
    ArithmeticError,
    LookupError,
    AttributeError,
    AssertionError,
    RuntimeError,
)


@dataclass
class LiveSession:
    """A session in memory."""

    session: Session | None
    """None: it has ended."""
    sequence: int
    """Of the last message taken; -1 before the first."""
    offset: int
    """Of the last message taken."""
    replay_from: int
    """From this offset on, together with the last snapshot, the state can be rebuilt."""
    saved_at: float
    heard_at: float
    is_told: bool = False
    """It has been said that messages came after its end."""

    @property
    def is_saved(self) -> bool:
        return self.replay_from > self.offset


@dataclass
class Partition:
    """A partition that this worker owns."""

    snapshots: dict[str, bytes] = field(default_factory=dict)
    sessions: dict[str, LiveSession] = field(default_factory=dict)
    next_offset: int = -1
    committed: int = -1

    @property
    def safe_offset(self) -> int:
        """Whoever begins here can rebuild every session."""
        return min([self.next_offset, *(s.replay_from for s in self.sessions.values() if not s.is_saved)])


class Worker:
    """One process of one component."""

    def __init__(self, component: Component, metrics: WorkerMetrics, health: Health) -> None:
        self._component, self._metrics, self._health = component, metrics, health
        self._topic = component.reads.TOPIC
        self._partitions: dict[int, Partition] = {}
        self._failure: str = ""

    def run(self, stop: threading.Event) -> None:
        """Work until `stop`; then save and commit everything, and leave the group.

        Raises:
            ConnectionError: outputs could not be delivered, or the group has thrown this worker out. Nothing is lost:
                the next worker goes on from what was committed.
        """
        counts = kafka.wait_for_topics([self._topic, self._component.state_topic])
        if counts[self._component.state_topic] < counts[self._topic]:
            raise ConnectionError(f"{self._component.state_topic} needs as many partitions as {self._topic}: {counts}")
        self._producer = kafka.producer()
        consumer = self._consumer = kafka.consumer(f"airscript-{self._component.name}")
        consumer.subscribe([self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost)
        committed_at = time.monotonic()
        try:
            while not stop.is_set():
                message = consumer.poll(kafka.POLL_S)
                self._health.beat()
                # Right after the poll, which tells of lost partitions: what is not ours any more is not saved.
                if time.monotonic() - committed_at >= COMMIT_EVERY_S:
                    self._end_the_silent()
                    self._commit()
                    committed_at = time.monotonic()
                if message is not None:
                    self._take(message)
            self._commit(everything=True)
        except BaseException:
            self._partitions.clear()  # leaving the group hands partitions over, and these states are not to be trusted
            raise
        finally:
            self._health.ready = False
            consumer.close()
        log.info("worker stopped", component=self._component.name)

    # ---- messages -------------------------------------------------------------------------------------------------

    def _take(self, message: Message) -> None:
        if error := message.error():
            self._on_error(error)
            return
        number, offset = message.partition(), message.offset()
        assert number is not None
        assert offset is not None
        partition = self._partitions.get(number)
        if partition is None:
            return  # it was revoked while this message was on its way
        self._hear(message, number, partition, offset)
        partition.next_offset = offset + 1

    def _hear(self, message: Message, number: int, partition: Partition, offset: int) -> None:
        if why := partition.snapshots.get(f"{MARK}{offset}"):
            self._bury(message, why.decode())
            return
        try:
            parsed = self._component.reads.model_validate_json(message.value() or b"")
            if (message.key() or b"").decode() != parsed.session:
                raise ValueError("the message's key is not its session")
        except (ValidationError, ValueError) as error:
            self._bury(message, str(error))
            return
        live = self._session(partition, parsed.session, offset)
        if offset <= live.offset:
            return  # the snapshot knows it
        if live.session is None or parsed.sequence <= live.sequence:
            self._metrics.duplicates.inc()
            if live.session is None and not live.is_told:
                live.is_told = True
                log.warning(
                    "a session that has ended is passed over: feed a new broadcast under another name",
                    session=parsed.session,
                    topic=self._topic,
                )
            live.offset = offset
            return
        if missing := parsed.sequence - live.sequence - 1:
            self._metrics.gaps.inc(missing)
            log.warning("messages are missing", session=parsed.session, topic=self._topic, missing=missing)
        began = time.perf_counter()
        try:
            told = list(live.session.push(parsed))  # all or nothing: what was half said would be said otherwise later
        except INDIGESTIBLE as error:
            self._mark(number, offset, parsed, error)
            raise
        for outgoing in told:
            self._say(outgoing)
        self._metrics.work.observe(time.perf_counter() - began)
        self._metrics.messages.inc()
        if parsed.captured_at:
            self._metrics.latency.observe(max(0.0, time.time() - parsed.captured_at))
        live.sequence, live.offset, live.heard_at = parsed.sequence, offset, time.monotonic()
        if parsed.is_last:
            self._end(number, parsed.session, live)

    def _session(self, partition: Partition, name: str, offset: int) -> LiveSession:
        """The session as it is in memory, or as its snapshot says, or new."""
        if name in partition.sessions:
            return partition.sessions[name]
        now = time.monotonic()
        snapshot = self._recall(partition, name)
        if snapshot is None:
            live = LiveSession(self._component.open(name, None), -1, offset - 1, offset, now, now)
        else:
            session = None if snapshot.has_ended else self._component.open(name, snapshot.state.encode())
            live = LiveSession(session, snapshot.sequence, snapshot.offset, snapshot.offset + 1, now, now)
            self._metrics.rebuilt.inc()
        partition.sessions[name] = live
        return live

    def _recall(self, partition: Partition, name: str) -> Snapshot | None:
        saved = partition.snapshots.pop(name, None)
        if saved is None:
            return None
        snapshot = Snapshot.read(saved, self._component.version)
        if snapshot is None:
            log.warning("a snapshot of another version is left aside", session=name)
        return snapshot

    def _say(self, outgoing: LiveMessage | Event) -> None:
        key = outgoing.key if isinstance(outgoing, Event) else outgoing.session
        kafka.send(self._producer, outgoing.TOPIC, key, outgoing.to_bytes(), self._on_delivery)

    def _bury(self, message: Message, why: str) -> None:
        """Put a message that cannot be read aside, as it is, and go on."""
        self._metrics.dead_letters.inc()
        log.error("a message cannot be read", topic=self._topic, offset=message.offset(), error=why[:500])
        headers = {"error": why[:2000], "topic": self._topic, "offset": str(message.offset())}
        kafka.send(
            self._producer,
            self._topic + kafka.DEAD_LETTER_SUFFIX,
            message.key(),
            message.value() or b"",
            self._on_delivery,
            headers=list(headers.items()),
        )

    def _mark(self, number: int, offset: int, message: LiveMessage, error: Exception) -> None:
        """Let the next owner know that this message is to be put aside."""
        why = f"{type(error).__name__}: {error}"
        log.error("a message cannot be digested", topic=self._topic, offset=offset, session=message.session, error=why)
        topic, key = self._component.state_topic, f"{MARK}{offset}"
        kafka.send(self._producer, topic, key, why.encode()[:2000], self._on_delivery, partition=number)
        self._deliver()

    def _end_the_silent(self) -> None:
        """End sessions whose feeder is gone, by a message in the log that every later owner hears too."""
        ending, now = self._component.ending, time.monotonic()
        if ending is None:
            return
        for number, partition in self._partitions.items():
            for name, live in partition.sessions.items():
                if live.session is None or now - live.heard_at < ending.after_s:
                    continue
                log.warning("a session is ended: nothing comes any more", session=name, after_s=ending.after_s)
                last = ending.message(name, live.sequence + 1).to_bytes()
                kafka.send(self._producer, self._topic, name, last, self._on_delivery, partition=number)
                live.heard_at = now

    # ---- states and offsets ---------------------------------------------------------------------------------------

    def _end(self, number: int, name: str, live: LiveSession) -> None:
        live.session = None
        self._deliver()
        self._save(number, name, live)
        log.info("session ended", session=name, component=self._component.name)

    def _snapshot(self, live: LiveSession) -> bytes:
        snapshot = Snapshot(
            version=self._component.version,
            offset=live.offset,
            sequence=live.sequence,
            has_ended=live.session is None,
            state=live.session.save().decode() if live.session else "",
        )
        return snapshot.model_dump_json().encode()

    def _save(self, number: int, name: str, live: LiveSession) -> None:
        """Send a snapshot. What the session has said must be delivered before: whoever reads it says that no more."""
        state = self._snapshot(live)
        kafka.send(self._producer, self._component.state_topic, name, state, self._on_delivery, partition=number)
        live.replay_from, live.saved_at = live.offset + 1, time.monotonic()

    def _commit(self, everything: bool = False, only: list[int] | None = None) -> None:
        """Save the states that are due, wait until all that was said is delivered, and commit."""
        from confluent_kafka import KafkaException, TopicPartition

        now = time.monotonic()
        asked = {n: partition for n, partition in self._partitions.items() if only is None or n in only}
        due = [
            (number, name, live)
            for number, partition in asked.items()
            for name, live in partition.sessions.items()
            if not live.is_saved and (everything or now - live.saved_at >= SNAPSHOT_EVERY_S)
        ]
        if due:
            self._deliver()
        for number, name, live in due:
            self._save(number, name, live)
        self._deliver()
        offsets = [
            TopicPartition(self._topic, number, partition.safe_offset)
            for number, partition in asked.items()
            if partition.safe_offset > partition.committed
        ]
        if offsets:
            try:
                self._consumer.commit(offsets=offsets, asynchronous=False)
            except KafkaException as error:
                # A rebalance goes on: whoever owns the partition then begins at the commit before.
                self._metrics.errors.inc()
                log.warning("offsets were not committed", error=str(error))
            else:
                for committed in offsets:
                    self._partitions[committed.partition].committed = committed.offset
        self._forget(now)
        self._count()

    def _forget(self, now: float) -> None:
        """Let go of sessions that have ended, or said nothing for long, once their snapshots cover them."""
        for partition in self._partitions.values():
            for name, live in list(partition.sessions.items()):
                if live.is_saved and partition.committed > live.offset and now - live.heard_at > FORGET_AFTER_S:
                    partition.snapshots[name] = self._snapshot(live)
                    del partition.sessions[name]

    def _deliver(self) -> None:
        left = self._producer.flush(kafka.FLUSH_S)
        if left or self._failure:
            raise ConnectionError(f"outputs were not delivered: {self._failure or f'{left} wait'}")

    def _count(self) -> None:
        from confluent_kafka import TopicPartition

        lag = 0
        for number, partition in self._partitions.items():
            _, high = self._consumer.get_watermark_offsets(TopicPartition(self._topic, number), cached=True)
            if high > 0 and partition.next_offset >= 0:
                lag += max(0, high - partition.next_offset)
        self._metrics.lag.set(lag)
        self._metrics.sessions.set(
            sum(live.session is not None for p in self._partitions.values() for live in p.sessions.values())
        )

    # ---- the group ------------------------------------------------------------------------------------------------

    def _on_assign(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for assigned in partitions:
            partition = self._partitions[assigned.partition] = Partition(
                latest_snapshots(self._component, assigned.partition)
            )
            if self._component.ending:
                # Those that go on are taken up although nothing comes: somebody has to notice.
                for name, saved in list(partition.snapshots.items()):
                    if (snapshot := Snapshot.read(saved, self._component.version)) and not snapshot.has_ended:
                        self._session(partition, name, snapshot.offset + 1)
        self._health.ready = True
        log.info("partitions assigned", component=self._component.name, partitions=[p.partition for p in partitions])

    def _on_revoke(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Hand over: states are saved where they stand, so that the next owner hears nothing twice."""
        numbers = [revoked.partition for revoked in partitions]
        self._commit(everything=True, only=numbers)
        self._drop(numbers)

    def _on_lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Others own them already: nothing may be committed any more."""
        self._drop([lost.partition for lost in partitions])

    def _drop(self, numbers: list[int]) -> None:
        for number in numbers:
            self._partitions.pop(number, None)
        log.info("partitions revoked", component=self._component.name, partitions=numbers)

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failure = f"{message.topic()}: {error}"

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            raise ConnectionError(f"Kafka: {error}")
        self._metrics.errors.inc()
        log.warning("Kafka", error=str(error))
