"""Events of arrived media: valid, invalid, duplicate and reordered ones."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from dags.common.assets import choose_arrived
from tasks.contract.events import MediaArrived


def event(name: str = "news") -> bytes:
    return MediaArrived(
        uri=f"s3://inbox/{name}.mp4",
        n_bytes=7,
        etag="abc",
        programme=name,
        produced_at=datetime(2026, 3, 23, tzinfo=UTC),
    ).to_bytes()


def fired(values: list[bytes]) -> list[dict[str, Any]]:
    from dags.common.arrivals import MediaArrivedTrigger

    async def stream() -> AsyncIterator[bytes]:
        for value in values:
            yield value

    async def collect() -> list[dict[str, Any]]:
        return [found.payload async for found in MediaArrivedTrigger().filter_shared_stream(stream())]

    return asyncio.run(collect())


def test_invalid_messages_are_rejected_and_the_rest_is_processed(monkeypatch: pytest.MonkeyPatch) -> None:
    rejected: list[int] = []
    monkeypatch.setattr("dags.common.arrivals.reject_shared_stream_event", lambda: rejected.append(1))
    found = fired([event("a"), b"\xff{", b"", b'{"uri": "s3://inbox/x.mp4"}', event("b")])
    assert [payload["uri"] for payload in found] == ["s3://inbox/a.mp4", "s3://inbox/b.mp4"]
    assert len(rejected) == 3
    json.dumps(found)


def test_the_trigger_survives_serialization() -> None:
    from airflow.sdk.module_loading import import_string

    from dags.common.arrivals import DEAD_LETTERS, MediaArrivedTrigger

    path, settings = MediaArrivedTrigger(dlq_topic=DEAD_LETTERS).serialize()
    again = import_string(path)(**settings)
    assert isinstance(again, MediaArrivedTrigger)
    assert again.serialize() == (path, settings)
    assert settings["dlq_topic"] == "media.arrived.dead"


def chosen(*payloads: dict[str, Any]) -> list[str]:
    events = [SimpleNamespace(extra={"from_trigger": True, "payload": payload}) for payload in payloads]
    uris: list[str] = choose_arrived.function(triggering_asset_events={"arrivals": events})
    return uris


def test_duplicate_and_reordered_events_give_the_same_media() -> None:
    a, b = {"uri": "s3://inbox/a.mp4"}, {"uri": "s3://inbox/b.mp4"}
    assert chosen(b, a, b, a) == chosen(a, b) == ["s3://inbox/a.mp4", "s3://inbox/b.mp4"]


def test_a_run_started_by_hand_scans_the_whole_inbox() -> None:
    assert choose_arrived.function(triggering_asset_events={}) == []


def test_without_kafka_the_asset_has_no_watcher(
    environment: Callable[..., None], load_dags: Callable[[], dict[str, Any]]
) -> None:
    environment()
    (asset,) = load_dags()["transcribe_on_arrival"].timetable.asset_condition.objects
    assert asset.watchers == []


def test_with_kafka_the_asset_is_watched(
    environment: Callable[..., None], load_dags: Callable[[], dict[str, Any]]
) -> None:
    environment(AIRSCRIPT_KAFKA="broker:9092")
    (asset,) = load_dags()["transcribe_on_arrival"].timetable.asset_condition.objects
    (watcher,) = asset.watchers
    assert type(watcher.trigger).__name__ == "MediaArrivedTrigger"


def test_an_offset_is_committed_when_the_event_is_stored_and_invalid_ones_go_to_the_dead_letter_topic(
    kafka_broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow's own producer for the shared stream, against a broker."""
    from airflow.triggers.shared_stream import AdvanceItem, AdvanceOutcome
    from confluent_kafka import Consumer, Producer, TopicPartition
    from confluent_kafka.admin import AdminClient, NewTopic

    from dags.common.arrivals import MediaArrivedTrigger

    token = uuid.uuid4().hex[:8]
    arrived, dead_letters = f"arrived.{token}", f"arrived.{token}.dead"
    client = AdminClient({"bootstrap.servers": kafka_broker})
    for created in client.create_topics([NewTopic(arrived, 3), NewTopic(dead_letters, 1)]).values():
        created.result(30)
    settings = {
        "bootstrap.servers": kafka_broker,
        "group.id": f"airscript-arrivals-{token}",
        "enable.auto.commit": "false",
        "auto.offset.reset": "earliest",
        # The brokers' minimum. Tansu answers who joins a group after half of it, by default 22 s.
        "session.timeout.ms": "6000",
    }
    monkeypatch.setenv("AIRFLOW_CONN_AIRSCRIPT_KAFKA", json.dumps({"conn_type": "kafka", "extra": settings}))
    sender = Producer({"bootstrap.servers": kafka_broker})
    values = [event("a"), b"torn {", event("b")]
    for value in values:
        sender.produce(arrived, value=value, key="news")
    sender.flush(10)
    _, kwargs = MediaArrivedTrigger(topics=[arrived], dlq_topic=dead_letters, poll_timeout=0.2).serialize()

    async def take(n: int) -> list[Any]:
        producer = MediaArrivedTrigger.create_shared_stream_producer(kwargs)
        taken = []
        async for value, payload in producer.open_stream():
            taken.append((value, payload))
            if len(taken) == n:
                break
        outcomes = [AdvanceOutcome(acked=int(v != values[1]), rejected=int(v == values[1]), failed=0) for v, _ in taken]
        # Airflow has stored the first and rejected the second. It crashed before it stored the third.
        items = [AdvanceItem(payload, outcome) for (_, payload), outcome in zip(taken, outcomes, strict=True)]
        await producer.advance(items[:2])
        await producer.aclose()
        return [value for value, _ in taken]

    assert asyncio.run(take(3)) == values
    assert asyncio.run(take(1)) == values[2:]
    reader = Consumer({"bootstrap.servers": kafka_broker, "group.id": "test", "auto.offset.reset": "earliest"})
    reader.assign([TopicPartition(dead_letters, 0, 0)])
    dead = reader.poll(10)
    assert dead is not None
    assert dead.value() == values[1]
    reader.close()
    for deleted in client.delete_topics([arrived, dead_letters]).values():
        deleted.result(30)
