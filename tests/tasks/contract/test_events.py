"""Events exchanged with other systems."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from tasks.contract.events import EVENTS, CaptionFinal, Event, MediaArrived, TranscriptFailed, schema_file
from tasks.contract.outcomes import Outcome

SCHEMAS = Path(__file__).parents[3] / "docs" / "schemas"


def arrived(**changes: object) -> MediaArrived:
    facts = {"uri": "s3://inbox/news.mp4", "n_bytes": 7, "etag": "abc", "programme": "news"}
    return MediaArrived.model_validate(facts | {"produced_at": datetime(2026, 3, 23, tzinfo=UTC)} | changes)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.TOPIC)
def test_the_schemas_in_the_docs_are_these_models(event: type[Event]) -> None:
    name, text = schema_file(event)
    assert (SCHEMAS / name).read_text() == text, "run: python -m tasks.contract.events docs/schemas"


def test_a_repeated_event_has_the_same_id() -> None:
    first, later = arrived(), arrived(produced_at=datetime(2026, 3, 24, tzinfo=UTC))
    assert first.event_id == later.event_id
    assert first.event_id != arrived(etag="abd").event_id
    assert TranscriptFailed(
        produced_at=later.produced_at, programme="news", media="s3://inbox/news.mp4", outcome=Outcome.QUARANTINED
    ).event_id


def test_events_survive_json_and_newer_writers() -> None:
    event = arrived(metadata={"channel": "one"})
    assert MediaArrived.model_validate_json(event.to_bytes()) == event
    newer = event.to_bytes().replace(b"{", b'{"added_later": 1, ', 1)
    assert MediaArrived.model_validate_json(newer) == event


@pytest.mark.parametrize(
    "change",
    [
        {"etag": ""},
        {"uri": "https://elsewhere/news.mp4"},
        {"programme": ""},
        {"schema_version": 2},
        {"n_bytes": -1},
        {"sha256": "short"},
    ],
)
def test_invalid_events_are_rejected(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        arrived(**change)


def test_session_names_are_valid_in_topics_and_folders() -> None:
    for name in ("../up", "", "A", "a" * 65, "a/b"):
        with pytest.raises(ValidationError):
            CaptionFinal(session=name, sequence=0, start_ms=0, end_ms=0, text="", words=(), captured_at=0)
