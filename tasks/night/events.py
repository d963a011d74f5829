"""What the night tells other systems: one event for each programme, after its transcript stands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from tasks.contract.events import Fact, TranscriptFailed, TranscriptPublished
from tasks.night.records import Publication


def events_of(rows: Iterable[Publication]) -> Iterator[Fact]:
    """The rows of a publish step as events. A step that is run again says the same, with the same `event_id`."""
    now = datetime.now(UTC)
    for row in rows:
        if row.outcome.is_done:
            yield TranscriptPublished(
                produced_at=now,
                programme=row.programme,
                media=row.media,
                transcript=row.transcript,
                transcript_key=row.key,
                model=row.model,
                outcome=row.outcome,
                language=row.language,
                duration_s=row.duration_s,
            )
        else:
            yield TranscriptFailed(
                produced_at=now,
                programme=row.programme,
                media=row.media,
                outcome=row.outcome,
                reason=row.reason,
                detail=row.detail,
            )
