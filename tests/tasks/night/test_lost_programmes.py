"""The report of programmes whose batch died, and retries of what failed or was deleted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tasks import storage
from tasks.audio import SAMPLE_RATE_HZ
from tasks.contract import Outcome, Reason, StepError
from tasks.contract.events import Fact, TranscriptFailed
from tasks.night.ledger import Ledger
from tasks.night.records import PUBLISHED, Batch
from tasks.reporting.records import NightRow, Publication
from tasks.storage.records import read_lines, read_one, to_lines
from tests.tasks.night.media import wav
from tests.tasks.night.results import write_result
from tests.tasks.night.station import Station, outcomes


def test_programmes_of_a_batch_that_failed_are_not_forgotten(
    storage_root: str, two_models: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[TranscriptFailed] = []
    monkeypatch.setattr("tasks.kafka.publish", lambda *events: sent.extend(events))
    station = Station(storage_root)
    station.deliver("a.wav", b"x")
    plan = station.plan(two_models[0])
    report = station.step("report-night", plan=plan.result, transcripts=station.at("transcripts"))
    assert report.counts == {"programmes": 1, "failed": 1}
    (warning,) = report.warnings
    assert warning.startswith("a: failed")
    assert [(event.TOPIC, event.key, event.outcome) for event in sent] == [("transcript.failed", "a", Outcome.FAILED)]


def test_programmes_published_before_their_batch_died_are_reported(
    storage_root: str, two_models: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Fact] = []

    def away(*events: Fact) -> None:
        raise ConnectionError("no answer")

    station = Station(storage_root)
    station.deliver("a.wav", wav(np.zeros(SAMPLE_RATE_HZ)))
    station.deliver("copy-of-a.wav", wav(np.zeros(SAMPLE_RATE_HZ)))
    station.deliver("letter.wav", b"Dear sirs")
    plan, transcripts = station.plan(two_models[0]), station.at("transcripts")
    (item,) = plan.items
    prepared = station.step("prepare-media", batch=item.uri).result
    recognised = station.step("recognise", prepared=prepared, model=plan.labels["model"]).result
    arguments = {"batch": item.uri, "prepared": prepared, "recognised": recognised, "transcripts": transcripts}
    monkeypatch.setattr("tasks.kafka.publish", away)
    with pytest.raises(StepError, match="no answer"):
        station.step("publish", **arguments)

    monkeypatch.setattr("tasks.kafka.publish", lambda *events: sent.extend(events))
    report = station.step("report-night", plan=plan.result, transcripts=transcripts)
    assert report.counts == {"programmes": 3, "done_no_speech": 2, "quarantined": 1}
    found = {row.programme: row for row in read_lines(NightRow, report.labels["index"])}
    assert found["a"].text.endswith("/a.txt")
    assert storage.exists(found["a"].text)
    assert found["copy-of-a"].transcript == found["a"].transcript
    assert found["copy-of-a"].is_copy
    assert found["letter"].reason is Reason.NOT_MEDIA
    batch = read_one(Batch, item.uri)
    assert set(Ledger(transcripts, batch.pipeline).failures()) == {batch.programmes[2].id}, "the letter's own"

    # The cleared task sends the same events.
    by_report, sent[:] = {event.event_id for event in sent}, []
    station.step("publish", **arguments)
    assert {event.event_id for event in sent} == by_report


def test_a_programme_that_kills_its_batch_gets_its_own_and_is_quarantined_in_the_end(
    storage_root: str, two_models: tuple[str, str]
) -> None:
    """A crash of the process leaves no result; the completed batches are simulated."""
    station = Station(storage_root)
    for n, name in enumerate(("poison", "a", "b")):
        station.deliver(f"{name}.wav", wav(np.full(SAMPLE_RATE_HZ, n / 10)))  # of one size

    def night(*ended: str) -> tuple[list[set[str]], dict[str, int]]:
        plan = station.plan(two_models[0], batches=1)
        batches = [{a.programme for a in read_one(Batch, item.uri).programmes} for item in plan.items]
        published = []
        for name in ended:
            done = Publication(programme=name, media=station.at("inbox", f"{name}.wav"), outcome=Outcome.DONE)
            published.append(write_result(station.at(f"published-{name}"), "publish", {PUBLISHED: to_lines([done])}))
        report = station.step(
            "report-night", plan=plan.result, published=tuple(published), transcripts=station.at("transcripts")
        )
        return batches, report.counts

    assert night() == ([{"poison", "a", "b"}], {"programmes": 3, "failed": 3})
    parted, counts = night("a", "b")
    assert sorted(map(sorted, parted)) == [["a"], ["b"], ["poison"]]
    assert counts == {"programmes": 3, "done": 2, "failed": 1}
    assert night()[1] == {"programmes": 3, "failed": 3}, "no batch completed: no programme is at fault"
    assert night("a", "b")[1] == {"programmes": 3, "done": 2, "quarantined": 1}
    assert {"poison"} not in night("a", "b")[0]


def test_a_transient_fault_is_retried_and_quarantined_in_the_end(
    storage_root: str, two_models: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each night is a new attempt, not the last one's cached failure."""
    station = Station(storage_root)
    station.deliver("a.wav", wav(np.zeros(SAMPLE_RATE_HZ)))
    attempts: list[Path] = []

    def broken(media: Path, *_: object) -> None:
        attempts.append(media)
        raise RuntimeError("a bug of ours")

    with monkeypatch.context() as bug:
        bug.setattr("tasks.night.steps.prepare.extract_audio", broken)
        for night in (1, 2):
            _, report = station.night(two_models[0])
            assert outcomes(report) == {"a": Outcome.FAILED}
            assert "a bug of ours" in report.rows[0].detail
            assert len(attempts) == night
    assert station.night(two_models[1])[1].rows[0].outcome is Outcome.DONE_NO_SPEECH  # it works for another model

    with monkeypatch.context() as bug:
        bug.setattr("tasks.night.steps.prepare.extract_audio", broken)
        assert outcomes(station.night(two_models[0])[1]) == {"a": Outcome.QUARANTINED}
        assert station.plan(two_models[0]).counts["new"] == 0


def test_deleted_records_are_made_again(storage_root: str, two_models: tuple[str, str], speech_wav: bytes) -> None:
    """Transcripts and quarantine records that were deleted: no step returns its cached result."""
    station = Station(storage_root)
    station.deliver("news.wav", speech_wav)
    station.deliver("page.wav", b"<html>not found</html>")
    model = two_models[0]
    first = station.night(model)[1]
    assert outcomes(first) == {"news": first.rows[0].outcome, "page": Outcome.QUARANTINED}

    for _ in range(2):  # also a second time
        (record,) = storage.list_objects(station.at("transcripts", "_quarantine"))
        storage.delete(record.uri)
        assert outcomes(station.night(model, batches=1)[1]) == {"page": Outcome.QUARANTINED}

    sets = station.transcript_sets()
    for found in list(storage.list_objects(sets[0])):
        storage.delete(found.uri)
    assert station.plan(model).counts["new"] == 0, "a deleted transcript alone is not made again"
    ledger = storage.list_objects(station.at("transcripts", "_ledger"))
    (line,) = [found.uri for found in ledger if "/arrivals/news-" in found.uri]
    storage.delete(line)
    assert outcomes(station.night(model)[1]) == {"news": outcomes(first)["news"]}
    assert station.transcript_sets() == sets

    for found in list(storage.list_objects(station.at("transcripts"))):
        storage.delete(found.uri)
    assert outcomes(station.night(model)[1]) == outcomes(first)
    assert station.transcript_sets() == sets
    assert station.plan(model).counts["new"] == 0
