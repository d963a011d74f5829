"""Media that arrive: the asset that changes with each event of `media.arrived`, and what an event must be."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import structlog
from airflow.providers.apache.kafka.triggers.shared_stream import KafkaSharedStreamTrigger
from airflow.triggers.base import TriggerEvent
from airflow.triggers.shared_stream import reject_shared_stream_event
from pydantic import ValidationError

from tasks.contract.events import MediaArrived

log = structlog.get_logger()

CONNECTION = "airscript_kafka"
"""The Airflow connection: its extra holds librdkafka's settings, `enable.auto.commit` false among them."""
DEAD_LETTERS = MediaArrived.TOPIC + ".dead"


class MediaArrivedTrigger(KafkaSharedStreamTrigger):
    """Fires for each event that keeps the contract. What does not goes to the dead letters, as it came.

    An offset is committed when Airflow has stored the event. After a crash in between it comes again, which changes
    nothing: what is planned are the media, not the events.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"topics": [MediaArrived.TOPIC], "kafka_config_id": CONNECTION} | settings)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{type(self).__module__}.{type(self).__qualname__}", super().serialize()[1]

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Any]) -> AsyncIterator[TriggerEvent]:
        async for value in shared_stream:
            try:
                event = MediaArrived.model_validate_json(value or b"")
            except ValidationError as error:
                log.warning("not a media.arrived: put aside", topic=DEAD_LETTERS, error=str(error)[:500])
                reject_shared_stream_event()
                continue
            yield TriggerEvent({"uri": event.uri, "programme": event.programme, "event_id": event.event_id})
