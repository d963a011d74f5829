"""Snapshots of session states: one compacted topic per component, with the last snapshot of each session."""

from __future__ import annotations

import time

from pydantic import ValidationError

from tasks import kafka
from tasks.contract import Frozen
from tasks.streaming.runtime.session import Component


class Snapshot(Frozen):
    """A session's state after the message at `offset`."""

    version: int
    offset: int
    sequence: int
    has_ended: bool = False
    state: str = ""

    def to_bytes(self) -> bytes:
        return self.model_dump_json().encode()

    @classmethod
    def read(cls, saved: bytes, version: int) -> Snapshot | None:
        """Parse a snapshot. None if it is invalid or of another version."""
        try:
            snapshot = cls.model_validate_json(saved)
        except ValidationError:
            return None
        return snapshot if snapshot.version == version else None


def latest_snapshots(component: Component, partition_id: int) -> dict[str, bytes]:
    """Return the last snapshot of each session of a partition, unparsed, by session.

    Raises:
        StepError: the topic could not be read to its end.
    """
    from confluent_kafka import KafkaException, TopicPartition

    reader = kafka.consumer(f"airscript-{component.name}-states")
    try:
        partition = TopicPartition(component.state_topic, partition_id)
        first, end = reader.get_watermark_offsets(partition, timeout=kafka.FLUSH_S)
        partition.offset = first
        snapshots: dict[str, bytes] = {}
        if end > first:
            reader.assign([partition])
            deadline = time.monotonic() + kafka.FLUSH_S
            while time.monotonic() < deadline:
                message = reader.poll(kafka.POLL_S)
                if message is None:
                    position = reader.position([partition])[0].offset
                    if position >= end:
                        break
                elif not message.error():
                    _keep_latest(snapshots, (message.key() or b"").decode(), message.value() or b"")
                    if (message.offset() or 0) >= end - 1:
                        break
            else:
                raise kafka.unavailable("not read to its end", f"{component.state_topic}[{partition_id}]")
        return snapshots
    except KafkaException as error:
        raise kafka.error_of([error.args[0]], component.state_topic) from error
    finally:
        reader.close()


def _keep_latest(snapshots: dict[str, bytes], name: str, saved: bytes) -> None:
    """Keep the snapshot with the higher offset: a stalled former owner may have written an older one last."""
    if not saved:
        snapshots.pop(name, None)
    elif name not in snapshots or _offset(saved) >= _offset(snapshots[name]):
        snapshots[name] = saved


def _offset(saved: bytes) -> int:
    try:
        return Snapshot.model_validate_json(saved).offset
    except ValidationError:
        return -1
