"""Events for other systems: one for each programme, sent after its transcript is published."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from tasks.contract.events import Fact, TranscriptFailed, TranscriptPublished
from tasks.reporting.records import Publication


def outcome_events(rows: Iterable[Publication]) -> Iterator[Fact]:
    """The events of a publish step's rows. A step that runs again sends the same events, with the same `event_id`."""
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
