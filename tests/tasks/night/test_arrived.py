"""Arrivals announced through Kafka: duplicate, reordered and lost events, and events for files outside the inbox."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks import storage
from tasks.contract import STEPS
from tasks.contract.arguments import PlanNight
from tasks.night import inbox as night_inbox
from tasks.night.ledger import Ledger
from tasks.night.records import Batch
from tasks.night.steps.plan import survey
from tasks.progress import no_progress
from tasks.step import load_result, run_step
from tasks.storage.records import read_one


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    for name in ("a.mp4", "b.mp4", "c.mp4", "a.srt"):
        (folder / name).write_bytes(name.encode())
    (tmp_path / "elsewhere.mp4").write_bytes(b"x")
    return folder


@pytest.fixture
def model() -> str:
    return str(Path(__file__).parents[3] / "local" / "demo" / "base_model" / "weights")


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


def test_duplicate_and_reordered_events_give_the_same_plan(inbox: Path, model: str) -> None:
    a, b = uris(inbox, "a.mp4", "b.mp4")
    once, mixed = plan(inbox, model, a, b), plan(inbox, model, b, a, b, b)
    assert once.canonical() == mixed.canonical()
    assert [arrival.uri for arrival in survey(mixed).new] == [a, b]
    assert survey(once).digest == survey(mixed).digest


def test_a_late_duplicate_event_finds_the_transcript(inbox: Path, model: str) -> None:
    (a,) = uris(inbox, "a.mp4")
    first = survey(plan(inbox, model, a))
    ledger = Ledger((inbox.parent / "transcripts").as_uri(), first.pipeline)
    ledger.record_transcript(first.new[0], "0" * 64, "file:///manifest.json", has_speakers=True)
    again = survey(plan(inbox, model, a))
    assert again.new == ()
    assert again.n_transcribed == 1


def test_a_lost_event_is_picked_up_by_the_night(inbox: Path, model: str) -> None:
    a, b, c = uris(inbox, "a.mp4", "b.mp4", "c.mp4")
    arrived = survey(plan(inbox, model, a, c))
    ledger = Ledger((inbox.parent / "transcripts").as_uri(), arrived.pipeline)
    for arrival in arrived.new:
        ledger.record_transcript(arrival, arrival.id * 4, "file:///manifest.json", has_speakers=True)
    assert [arrival.uri for arrival in survey(plan(inbox, model)).new] == [b]


def test_announced_and_listed_arrivals_are_equal(inbox: Path, model: str) -> None:
    (inbox / "a.vocabulary.txt").write_text("Zuckmayer\n")
    by_event = survey(plan(inbox, model, *uris(inbox, "a.mp4", "b.mp4", "c.mp4"))).new
    assert by_event == survey(plan(inbox, model)).new
    assert by_event[0].vocabulary


def test_files_that_are_not_media_of_the_inbox_are_left_out(inbox: Path, model: str) -> None:
    (inbox.parent / "elsewhere.mp4").write_bytes(b"not for everybody")
    (inbox / "link.mp4").symlink_to(inbox.parent / "elsewhere.mp4")
    elsewhere = storage.file_uri(inbox.parent / "elsewhere.mp4")
    climbing = [f"{inbox.as_uri()}/{dots}/elsewhere.mp4" for dots in ("..", "%2e%2e", ".%2E", "a/..%2F..", "./..")]
    assert survey(plan(inbox, model, elsewhere, *climbing, *uris(inbox, "gone.mp4", "a.srt", "link.mp4"))).new == ()


def test_one_file_announced_under_several_names_is_one_arrival(inbox: Path, model: str) -> None:
    root = inbox.as_uri()
    names = ["a.mp4", "./a.mp4", "/a.mp4", "%61.mp4", "x/../a.mp4"]
    arrived = survey(plan(inbox, model, *(f"{root}/{name}" for name in names))).new
    assert {arrival.uri for arrival in arrived} == {f"{root}/a.mp4"}
    assert len(arrived) == 1


def test_a_list_of_words_may_not_be_a_link_out_of_the_inbox(inbox: Path, model: str) -> None:
    (inbox.parent / "secret").write_text("passwords\n")
    (inbox / "a.vocabulary.txt").symlink_to(inbox.parent / "secret")
    assert [arrival.vocabulary for arrival in survey(plan(inbox, model, *uris(inbox, "a.mp4"))).new] == [""]
    assert {arrival.vocabulary for arrival in survey(plan(inbox, model)).new} == {""}


def test_only_listing_the_whole_inbox_waits_for_uploads(
    inbox: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("tasks.night.inbox.time.sleep", waits.append)
    survey(plan(inbox, model, *uris(inbox, "a.mp4"), settle_s=3600))
    assert waits == []
    survey(plan(inbox, model, settle_s=3600))
    assert waits == [pytest.approx(3600, abs=600)]


def test_a_plan_lists_the_inbox_and_waits_for_uploads_once(
    inbox: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    listings: list[str] = []
    waits: list[float] = []

    def list_inbox(uri: str) -> night_inbox.Listing:
        listings.append(uri)
        return night_inbox.list_inbox(uri)

    monkeypatch.setattr("tasks.night.steps.plan.list_inbox", list_inbox)
    monkeypatch.setattr("tasks.night.inbox.time.sleep", waits.append)
    receipt = run_step(STEPS["plan-night"], plan(inbox, model, settle_s=3600), no_progress)
    assert receipt.counts["new"] == 3
    assert listings == [inbox.as_uri()]
    assert len(waits) == 1


def test_a_file_that_changes_after_the_key_is_computed_is_planned_as_it_was(
    inbox: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """prepare-media rejects it by its etag; the next plan has another key and the file as it is then."""
    arguments = plan(inbox, model)
    before = survey(arguments)
    exists = storage.exists

    def change(uri: str) -> bool:
        if uri.endswith("result.json"):  # between `inputs` and `run`
            (inbox / "b.mp4").write_bytes(b"another recording")
        return exists(uri)

    with monkeypatch.context() as race:
        race.setattr(storage, "exists", change)
        stale = run_step(STEPS["plan-night"], arguments, no_progress)
    planned = [a for item in stale.items for a in read_one(Batch, item.uri).programmes]
    assert sorted(a.id for a in planned) == sorted(a.id for a in before.new)
    assert load_result(stale.result).inputs == {inbox.as_uri(): before.digest}

    fresh = run_step(STEPS["plan-night"], arguments, no_progress)
    planned = [a for item in fresh.items for a in read_one(Batch, item.uri).programmes]
    assert sorted(a.id for a in planned) == sorted(a.id for a in survey(arguments).new)
    assert fresh.result != stale.result
