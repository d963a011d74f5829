"""The trigger that turns events of the topic `media.arrived` into events of the asset `arrivals`."""

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
"""The Airflow connection. Its extra holds librdkafka's settings, which must set `enable.auto.commit` to false."""
DEAD_LETTERS = MediaArrived.TOPIC + ".dead"


class MediaArrivedTrigger(KafkaSharedStreamTrigger):
    """Fires for each valid event. Invalid messages go to the dead-letter topic unchanged.

    An offset is committed once Airflow has stored the event. After a crash in between, the event is delivered again,
    which is harmless: runs are planned by media, not by events.
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
                log.warning("invalid media.arrived event", moved_to=DEAD_LETTERS, error=str(error)[:500])
                reject_shared_stream_event()
                continue
            yield TriggerEvent({"uri": event.uri, "programme": event.programme, "event_id": event.event_id})
