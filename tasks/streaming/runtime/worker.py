"""The loop of every component: consume, update a state per session, produce, commit.

Messages are processed one at a time and outputs sent at once. Every second, once the brokers have acknowledged all
outputs, the worker commits, for each partition, the offset from which every session's state can be rebuilt. Every few
seconds each session's state is saved to a compacted topic together with the offset of the last message in it, but only
after the outputs of that message and of all before it have been acknowledged. A new owner of a partition (after a
crash, a rebalance, a rollout) restores the snapshots, replays the messages after them and sends the same outputs again.

The client sends heartbeats from its own thread, so a slow message does not cause a rebalance; it must only be processed
within `max.poll.interval.ms`.

A poison message is one whose processing raises. The worker marks the message's offset in the state topic and then
stops, because the session's state may be half updated. The next owner of the partition moves the message to the
dead-letter topic.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import structlog

from tasks import kafka
from tasks.contract import InputRejected, Misconfigured, Reason
from tasks.streaming.runtime.messages import LiveMessage
from tasks.streaming.runtime.metrics import Health, WorkerMetrics
from tasks.streaming.runtime.outbox import Outbox
from tasks.streaming.runtime.partitions import CachedSession, Partition
from tasks.streaming.runtime.session import Component
from tasks.streaming.runtime.snapshots import latest_snapshots

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

log = structlog.get_logger()

COMMIT_EVERY_S = 1.0
SNAPSHOT_EVERY_S = 8.0  # at most this much is replayed
EVICT_AFTER_S = 3600.0  # sessions idle for this long are evicted from memory
LONG_S = 5.0  # for one message; the group waits for `max.poll.interval.ms`
NOTICE_S = 1.0  # longest wait for what the group decided meanwhile

# Errors that a message can cause. Storage and network raise OSError, wrong settings Misconfigured; these are not the
# message's fault.
MESSAGE_ERRORS = (
    InputRejected,
    ValueError,
    TypeError,
    ArithmeticError,
    LookupError,
    AttributeError,
    AssertionError,
    RuntimeError,
)


class Worker:
    """One process of one component."""

    def __init__(self, component: Component, metrics: WorkerMetrics, health: Health) -> None:
        self._component, self._metrics, self._health = component, metrics, health
        self._topic = component.consumes.TOPIC
        self._partitions: dict[int, Partition] = {}
        self._may_be_expelled = False
        """Whether a message took so long that the group may have given the partitions to others."""

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; then save and commit everything, and leave the group.

        Raises:
            StepError: outputs could not be delivered, or the group expelled this worker. Nothing is lost: the next
                owner resumes from the last commit.
            Misconfigured: the brokers refuse this worker.
        """
        counts = kafka.wait_for_topics([self._topic, self._component.state_topic])
        if counts[self._component.state_topic] < counts[self._topic]:
            raise Misconfigured(
                f"has {counts[self._component.state_topic]} partitions, and {self._topic} {counts[self._topic]}",
                reason=Reason.INVALID_ARGUMENT,
                subject=self._component.state_topic,
                next_step="give both topics equally many partitions",
            )
        self._outbox = Outbox(self._component)
        consumer = self._consumer = kafka.consumer(f"airscript-{self._component.name}")
        consumer.subscribe([self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost)
        committed_at = time.monotonic()
        try:
            while not stop.is_set():
                message = consumer.poll(kafka.POLL_S)
                self._health.beat()
                # Commit right after `poll`, which runs the callbacks for revoked and lost partitions: the state of a
                # lost partition must not be saved.
                if time.monotonic() - committed_at >= COMMIT_EVERY_S:
                    self._end_idle_sessions()
                    self._commit()
                    committed_at, self._may_be_expelled = time.monotonic(), False
                if message is not None:
                    began_at = time.monotonic()
                    self._on_message(message)
                    if time.monotonic() - began_at > LONG_S:  # the callbacks come after what was read before
                        committed_at, self._may_be_expelled = time.monotonic(), True
            self._run_callbacks()
            if not self._may_be_expelled:
                self._commit(save_all=True)
        except BaseException:
            self._partitions.clear()  # closing revokes the partitions, which would save these inconsistent states
            raise
        finally:
            self._health.is_ready = False
            consumer.close()
        log.info("worker stopped", component=self._component.name)

    # ---- messages -------------------------------------------------------------------------------------------------

    def _on_message(self, message: Message) -> None:
        if error := message.error():
            self._on_error(error)
            return
        partition_id, offset = message.partition(), message.offset()
        assert partition_id is not None
        assert offset is not None
        partition = self._partitions.get(partition_id)
        if partition is None:
            return  # revoked while this message was in flight
        if earlier_error := partition.poison_error(offset):
            self._dead_letter(message, earlier_error)
        else:
            try:
                parsed = self._parse(message)
            except ValueError as error:
                self._dead_letter(message, str(error))
            else:
                self._process(parsed, partition_id, offset)
        partition.next_offset = offset + 1

    def _parse(self, message: Message) -> LiveMessage:
        """Raises ValueError (pydantic's ValidationError is one) for an invalid message."""
        parsed = self._component.consumes.model_validate_json(message.value() or b"")
        if (message.key() or b"").decode() != parsed.session:
            raise ValueError("the message's key is not its session")
        return parsed

    def _process(self, message: LiveMessage, partition_id: int, offset: int) -> None:
        cached, is_restored = self._partitions[partition_id].open(message.session, offset)
        self._metrics.rebuilt.inc(is_restored)
        if offset <= cached.offset:
            return  # included in the snapshot
        if cached.has_ended or message.sequence <= cached.sequence:
            self._skip(message, cached, offset)
            return
        assert cached.session is not None
        if missing := message.sequence - cached.sequence - 1:
            self._metrics.gaps.inc(missing)
            log.warning("messages are missing", session=message.session, topic=self._topic, missing=missing)
        started = time.perf_counter()
        try:
            # Collect all outputs before sending any. If `push` raises half-way, the message becomes a dead letter, and
            # the next owner gives the sequence numbers of these outputs to others.
            outputs = list(cached.session.push(message))
        except MESSAGE_ERRORS as error:
            reason = f"{type(error).__name__}: {error}"
            log.error("poison message", topic=self._topic, offset=offset, session=message.session, error=reason)
            self._outbox.mark_poison(reason, offset, partition_id)
            raise
        for outgoing in outputs:
            self._outbox.send(outgoing)
        self._metrics.work.observe(time.perf_counter() - started)
        self._metrics.messages.inc()
        if message.captured_at:
            self._metrics.latency.observe(max(0.0, time.time() - message.captured_at))
        cached.sequence, cached.offset, cached.active_at = message.sequence, offset, time.monotonic()
        if message.is_last:
            cached.end()
            self._outbox.flush()
            self._save(cached, message.session, partition_id)
            log.info("session ended", session=message.session, component=self._component.name)

    def _skip(self, message: LiveMessage, cached: CachedSession, offset: int) -> None:
        """Skip a duplicate, or a message after the session's end."""
        self._metrics.duplicates.inc()
        if cached.has_ended and not cached.is_late_logged:
            cached.is_late_logged = True
            log.warning(
                "message after the end of its session skipped: feed a new broadcast under another name",
                session=message.session,
                topic=self._topic,
            )
        cached.offset = offset

    def _dead_letter(self, message: Message, error: str) -> None:
        self._metrics.dead_letters.inc()
        log.error("message moved to dead letters", topic=self._topic, offset=message.offset(), error=error[:500])
        self._outbox.send_dead_letter(message, error)

    def _end_idle_sessions(self) -> None:
        """End sessions whose feeder is gone: send a last message to the input topic, where a later owner of the
        partition also finds it.
        """
        timeout = self._component.idle_timeout
        if timeout is None:
            return
        for partition_id, partition in self._partitions.items():
            for name, cached in partition.idle_sessions(timeout.after_s):
                log.warning("idle session ended", session=name, after_s=timeout.after_s)
                self._outbox.send_input(timeout.last_message(name, cached.sequence + 1), name, partition_id)
                cached.active_at = time.monotonic()

    # ---- states and offsets ---------------------------------------------------------------------------------------

    def _save(self, cached: CachedSession, name: str, partition_id: int) -> None:
        self._outbox.send_snapshot(cached.snapshot(self._component.version), name, partition_id)
        cached.replay_from, cached.saved_at = cached.offset + 1, time.monotonic()

    def _commit(self, save_all: bool = False, only: list[int] | None = None) -> None:
        """Wait for delivery of the outputs, save the states that are due, wait for their delivery, commit the offsets;
        then evict idle sessions and update the gauges.
        """
        from confluent_kafka import KafkaException, TopicPartition

        partitions = {
            partition_id: partition
            for partition_id, partition in self._partitions.items()
            if only is None or partition_id in only
        }
        due = [
            (cached, name, partition_id)
            for partition_id, partition in partitions.items()
            for name, cached in partition.unsaved_sessions(0.0 if save_all else SNAPSHOT_EVERY_S)
        ]
        if due:
            self._outbox.flush()  # a state is never saved before its outputs are delivered
        for cached, name, partition_id in due:
            self._save(cached, name, partition_id)
        self._outbox.flush()
        offsets = [
            TopicPartition(self._topic, partition_id, partition.safe_offset)
            for partition_id, partition in partitions.items()
            if partition.safe_offset > partition.committed
        ]
        if offsets:
            try:
                self._consumer.commit(offsets=offsets, asynchronous=False)
            except KafkaException as error:
                # Usually a rebalance: the next owner then resumes from the previous commit. Otherwise the next commit
                # includes these offsets.
                self._metrics.errors.inc()
                log.warning("offsets were not committed", error=str(error))
            else:
                for committed in offsets:
                    self._partitions[committed.partition].committed = committed.offset
        for partition in self._partitions.values():
            partition.evict_idle(EVICT_AFTER_S)
        self._update_gauges()

    def _update_gauges(self) -> None:
        from confluent_kafka import TopicPartition

        lag = 0
        for partition_id, partition in self._partitions.items():
            _, high = self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition_id), cached=True)
            if high > 0 and partition.next_offset >= 0:
                lag += max(0, high - partition.next_offset)
        self._metrics.lag.set(lag)
        self._metrics.sessions.set(
            sum(not cached.has_ended for p in self._partitions.values() for cached in p.sessions.values())
        )

    # ---- the group ------------------------------------------------------------------------------------------------

    def _on_assign(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for assigned in partitions:
            snapshots = latest_snapshots(self._component, assigned.partition)
            partition = self._partitions[assigned.partition] = Partition(self._component, snapshots)
            if self._component.idle_timeout:
                # Only sessions in memory can time out, and without messages none would be opened.
                n_restored = partition.restore_open_sessions()
                self._metrics.rebuilt.inc(n_restored)
        self._health.is_ready = True
        log.info("partitions assigned", component=self._component.name, partitions=[p.partition for p in partitions])

    def _run_callbacks(self) -> None:
        """Run the callbacks that wait behind what was read; that is left to the next owner.

        Closing would run them too, and then sometimes hangs in librdkafka 2.x, with Python's lock held.
        """
        deadline = time.monotonic() + NOTICE_S
        while self._consumer.poll(0) is not None and time.monotonic() < deadline:
            pass

    def _on_revoke(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Save states and commit before handing over, so that the next owner replays nothing.

        Not if there may be another owner already, whose states are newer: librdkafka does not always tell that
        partitions are lost.
        """
        partition_ids = [revoked.partition for revoked in partitions]
        if not self._may_be_expelled:
            self._commit(save_all=True, only=partition_ids)
        self._drop(partition_ids)
        log.info("partitions revoked", component=self._component.name, partitions=partition_ids)

    def _on_lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Drop partitions that others own already: nothing may be committed for them."""
        partition_ids = [lost.partition for lost in partitions]
        self._drop(partition_ids)
        log.warning("partitions lost", component=self._component.name, partitions=partition_ids)

    def _drop(self, partition_ids: list[int]) -> None:
        for partition_id in partition_ids:
            self._partitions.pop(partition_id, None)

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal() or error.name() in kafka.WRONG_SETTINGS:
            raise kafka.error_of([error], f"group airscript-{self._component.name}")
        self._metrics.errors.inc()
        log.warning("Kafka error", error=str(error))
