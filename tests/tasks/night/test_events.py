"""Events of a night's outcomes."""

from __future__ import annotations

from tasks.contract import Outcome, Reason
from tasks.contract.events import TranscriptFailed, TranscriptPublished
from tasks.night.events import outcome_events
from tasks.reporting.records import Publication


def publication(**changes: object) -> Publication:
    row = {"programme": "news", "media": "s3://inbox/news.mp4", "outcome": Outcome.DONE, "transcript": "s3://t/news/k"}
    return Publication.model_validate(row | {"key": "k" * 64, "model": "acoustic-model/3"} | changes)


def test_each_programme_has_an_event_by_its_outcome() -> None:
    failed = publication(outcome=Outcome.QUARANTINED, reason=Reason.NOT_MEDIA, detail="a text", transcript="")
    done, silent, quarantined = outcome_events([publication(), publication(outcome=Outcome.DONE_NO_SPEECH), failed])
    assert isinstance(done, TranscriptPublished)
    assert (done.transcript, done.model, done.key) == ("s3://t/news/k", "acoustic-model/3", "news")
    assert isinstance(silent, TranscriptPublished)
    assert isinstance(quarantined, TranscriptFailed)
    assert quarantined.reason is Reason.NOT_MEDIA


def test_a_step_that_runs_again_sends_the_same_events() -> None:
    rows = [publication(), publication(outcome=Outcome.FAILED, reason=Reason.INTERNAL_ERROR)]
    assert [event.event_id for event in outcome_events(rows)] == [event.event_id for event in outcome_events(rows)]
    assert len({event.event_id for event in outcome_events(rows)}) == 2
