"""Arrivals that Kafka tells of: doubled, reordered and lost events, and events about what is not in the inbox."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks import storage
from tasks.contract.arguments import PlanNight
from tasks.night.ledger import Ledger
from tasks.night.steps.plan import survey


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    for name in ("a.mp4", "b.mp4", "c.mp4", "a.srt"):
        (folder / name).write_bytes(name.encode())
    (tmp_path / "elsewhere.mp4").write_bytes(b"x")
    return folder


@pytest.fixture
def model(tmp_path: Path) -> str:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "parakeet_ctc"}')
    return str(folder)


def plan(inbox: Path, model: str, *arrived: str, settle_s: float = 0) -> PlanNight:
    return PlanNight(
        output=(inbox.parent / "work").as_uri(),
        inbox=inbox.as_uri(),
        transcripts=(inbox.parent / "transcripts").as_uri(),
        model=model,
        diarizer=model,
        settle_s=settle_s,
        arrived=arrived,
    )


def uris(inbox: Path, *names: str) -> list[str]:
    return [storage.join(inbox.as_uri(), name) for name in names]


def test_doubled_and_reordered_events_are_the_same_plan(inbox: Path, model: str) -> None:
    a, b = uris(inbox, "a.mp4", "b.mp4")
    once, mixed = plan(inbox, model, a, b), plan(inbox, model, b, a, b, b)
    assert once.canonical() == mixed.canonical()
    assert [arrival.uri for arrival in survey(mixed).new] == [a, b]
    assert survey(once).digest == survey(mixed).digest


def test_an_event_that_comes_again_later_finds_the_transcript(inbox: Path, model: str) -> None:
    (a,) = uris(inbox, "a.mp4")
    first = survey(plan(inbox, model, a))
    ledger = Ledger((inbox.parent / "transcripts").as_uri(), first.pipeline)
    ledger.enter(first.new[0], "0" * 64, "file:///manifest.json", has_speakers=True)
    again = survey(plan(inbox, model, a))
    assert again.new == ()
    assert again.n_transcribed == 1


def test_a_lost_event_is_picked_up_by_the_night(inbox: Path, model: str) -> None:
    a, b, c = uris(inbox, "a.mp4", "b.mp4", "c.mp4")
    arrived = survey(plan(inbox, model, a, c))
    ledger = Ledger((inbox.parent / "transcripts").as_uri(), arrived.pipeline)
    for arrival in arrived.new:
        ledger.enter(arrival, arrival.arrival * 4, "file:///manifest.json", has_speakers=True)
    assert [arrival.uri for arrival in survey(plan(inbox, model)).new] == [b]


def test_an_arrival_is_what_the_night_would_see(inbox: Path, model: str) -> None:
    (inbox / "a.vocabulary.txt").write_text("Zuckmayer\n")
    by_event = survey(plan(inbox, model, *uris(inbox, "a.mp4", "b.mp4", "c.mp4"))).new
    assert by_event == survey(plan(inbox, model)).new
    assert by_event[0].vocabulary


def test_what_is_no_medium_of_the_inbox_is_passed_over(inbox: Path, model: str) -> None:
    elsewhere = storage.file_uri(inbox.parent / "elsewhere.mp4")
    climbing = inbox.as_uri() + "/../elsewhere.mp4"
    gone, companion = uris(inbox, "gone.mp4", "a.srt")
    assert survey(plan(inbox, model, elsewhere, climbing, gone, companion)).new == ()


def test_only_a_look_at_the_whole_inbox_waits_for_uploads(
    inbox: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("tasks.night.inbox.time.sleep", waits.append)
    survey(plan(inbox, model, *uris(inbox, "a.mp4"), settle_s=3600))
    assert waits == []
    survey(plan(inbox, model, settle_s=3600))
    assert waits == [pytest.approx(3600, abs=600)]
