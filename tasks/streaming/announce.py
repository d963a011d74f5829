"""`python -m tasks announce`: publish media.arrived events."""

from __future__ import annotations

from datetime import UTC, datetime

import structlog
from pydantic import BaseModel, ConfigDict, Field

from tasks import kafka, storage
from tasks.contract import ExitCode, Misconfigured, Reason, from_argv
from tasks.contract.events import MediaArrived
from tasks.storage import ObjectInfo


class Announce(BaseModel):
    """Publish a media.arrived event for each media file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    media: tuple[str, ...] = Field(description="URI of a media file; repeatable")
    programme: str = Field("", description="programme, the message key; empty: the file name")
    metadata: tuple[str, ...] = Field((), description="name=value, passed through unchanged; repeatable")


def main(argv: list[str]) -> int:
    arguments = from_argv(Announce, argv, prog="python -m tasks announce")
    metadata = dict(_parse_pair(text) for text in arguments.metadata)
    kafka.client_config()
    kafka.publish(*(make_event(storage.info(uri), arguments.programme, metadata) for uri in arguments.media))
    structlog.get_logger().info("announced", media=len(arguments.media))
    return ExitCode.DONE


def make_event(info: ObjectInfo, programme: str = "", metadata: dict[str, str] | None = None) -> MediaArrived:
    """Return the event for a stored object."""
    return MediaArrived(
        uri=info.uri,
        n_bytes=info.size,
        etag=info.etag,
        programme=programme or storage.name_of(info.uri).encode("utf-8", "replace").decode(),
        metadata=metadata or {},
        produced_at=datetime.now(UTC),
    )


def _parse_pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise Misconfigured(
            "not name=value", reason=Reason.INVALID_ARGUMENT, subject=text, next_step="use --metadata=channel=one"
        )
    return name, value
