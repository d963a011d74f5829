"""The whole night through its real steps, on a folder and on S3, with real decoding and a model of random weights."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tasks import storage
from tasks.audio import SAMPLE_RATE_HZ
from tasks.contract import WITHOUT_SPEAKERS, InputRejected, Outcome, Reason, Status
from tasks.contract.arguments import ReportNight
from tasks.diarization import resolve
from tasks.night.ledger import Ledger
from tasks.night.records import PUBLISHED, Batch, Preparation
from tasks.night.steps.report import batch_rows
from tasks.publishing.transcripts import MANIFEST_NAME, read_published_transcript
from tasks.reporting.records import NightReport, Publication
from tasks.step import load_result, output_uri
from tasks.storage.records import read_lines, read_one, to_lines
from tests.tasks.night.media import wav
from tests.tasks.night.results import write_result
from tests.tasks.night.station import Station, outcomes


@pytest.mark.slow  # decodes and recognises
def test_nights_of_a_station(storage_root: str, two_models: tuple[str, str], speech_wav: bytes) -> None:
    station = Station(storage_root)
    first_model, second_model = two_models
    station.deliver("news.wav", speech_wav)
    station.deliver("news-again.wav", speech_wav)
    station.deliver("news.srt", b"1\n00:00:00,000 --> 00:00:01,000\nno media\n")
    station.deliver("silence.wav", wav(np.zeros(2 * SAMPLE_RATE_HZ)))
    station.deliver("letter.mp4", b"Dear sirs, " * 100)
    station.deliver("empty.mp3", b"")

    # The first night: every programme has an outcome, the bad ones are in quarantine.
    plan, report = station.night(first_model)
    assert plan.counts["new"] == 5
    transcribed = {Outcome.DONE, Outcome.DONE_WITH_WARNINGS}
    found = outcomes(report)
    assert found["news"] in transcribed
    assert found["news-again"] in transcribed
    assert found["silence"] is Outcome.DONE_NO_SPEECH
    assert found["letter"] is Outcome.QUARANTINED
    assert found["empty"] is Outcome.QUARANTINED
    rows = {row.programme: row for row in report.rows}
    # The copies are one recording: one transcript, recognised once.
    assert rows["news"].transcript == rows["news-again"].transcript
    assert len(station.transcript_sets()) == 2
    _, transcript = read_published_transcript(storage.join(rows["news"].transcript, MANIFEST_NAME))
    assert transcript.media.duration_ms == pytest.approx(len(speech_wav) / 32, abs=30)
    assert transcript.coverage.speech_ms > 2_000
    assert transcript.provenance.engine.startswith("transformers ParakeetForCTC")
    assert transcript.provenance.diarizer == resolve(plan.labels["diarizer"]).version
    assert rows["news"].speakers in (0, 1)  # one voice; a model of random weights may have found no word of it
    index = storage.read_bytes(station.at("transcripts", "_nights", report.night, "index.jsonl")).splitlines()
    assert [json.loads(line)["programme"] for line in index] == sorted(found)
    page = storage.read_bytes(station.at("transcripts", "_nights", report.night, "report.html")).decode()
    assert all(name in page for name in found)

    # The second night: nothing is new, nothing is written but its report.
    before = station.transcript_sets()
    plan, report = station.night(first_model)
    assert (plan.counts["new"], plan.items, report.rows) == (0, (), ())
    assert plan.counts["transcribed_before"] == 3
    assert plan.counts["quarantined_before"] == 2
    assert report.news.startswith("nothing new: 3 programmes are transcribed")
    assert station.transcript_sets() == before
    assert station.plan(first_model).status is Status.CACHED

    # A file that changed is new, one that was renamed has its transcript already.
    spoken, _ = soundfile.read(io.BytesIO(speech_wav))
    station.deliver("letter.mp4", wav(spoken[: len(spoken) // 2]))
    storage.delete(station.at("inbox", "news-again.wav"))
    station.deliver("bulletin.wav", speech_wav)
    plan, report = station.night(first_model, batches=1)
    assert set(outcomes(report)) == {"letter", "bulletin"}
    assert outcomes(report)["letter"] in transcribed
    (bulletin,) = [row for row in report.rows if row.programme == "bulletin"]
    assert bulletin.transcript == rows["news"].transcript
    assert "news" in bulletin.detail

    # A new champion: what is no quarantined file is new, and the transcripts of the old one stay.
    before = station.transcript_sets()
    plan, report = station.night(second_model, batches=1)
    assert set(outcomes(report)) == {"news", "bulletin", "silence", "letter"}
    after = station.transcript_sets()
    assert set(before) < set(after)
    assert len(after) == len(before) + 3


def test_another_list_of_words_makes_another_transcript(two_models: tuple[str, str], tmp_path: Path) -> None:
    station = Station((tmp_path / "storage").as_uri())
    rng = np.random.default_rng(3)
    station.deliver("news.wav", wav(rng.normal(0, 0.05, 3 * SAMPLE_RATE_HZ)))
    station.deliver("news.vocabulary.txt", b"David Ellis\n")
    station.night(two_models[0])
    assert len(station.transcript_sets()) == 1
    assert station.plan(two_models[0]).counts["new"] == 0
    station.deliver("news.vocabulary.txt", b"David Ellis\nClara Bennett\n")
    _, report = station.night(two_models[0])
    assert [row.programme for row in report.rows] == ["news"]
    assert len(station.transcript_sets()) == 2


def test_the_channels_words_are_expected_in_programmes_from_then_on(
    two_models: tuple[str, str], tmp_path: Path
) -> None:
    station = Station((tmp_path / "storage").as_uri())
    rng = np.random.default_rng(3)
    station.deliver("before.wav", wav(rng.normal(0, 0.05, SAMPLE_RATE_HZ)))
    station.night(two_models[0])
    station.deliver("_vocabulary.txt", b"David Ellis\n")
    assert station.plan(two_models[0]).counts["new"] == 0, "a word more does not transcribe the inbox again"
    station.deliver("after.wav", wav(rng.normal(0, 0.05, SAMPLE_RATE_HZ)))
    station.deliver("after.vocabulary.txt", b"Clara Bennett\n")
    station.night(two_models[0])
    listed = [found.uri for found in storage.list_objects((tmp_path / "storage").as_uri())]
    prepared = [p for uri in listed if uri.endswith("/programmes.jsonl") for p in read_lines(Preparation, uri)]
    assert {p.arrival.programme: p.vocabulary for p in prepared} == {
        "before": (),
        "after": ("Clara Bennett", "David Ellis"),
    }


def test_three_hundred_programmes_are_planned_and_reported(two_models: tuple[str, str], tmp_path: Path) -> None:
    """Each is in the report by name, even if no batch ran."""
    station = Station((tmp_path / "storage").as_uri())
    for n in range(300):
        station.deliver(f"{n % 7}/programme-{n:03d}.wav", b"x" * (1 + n))
    plan = station.plan(two_models[0], batches=16)
    batches = [read_one(Batch, item.uri) for item in plan.items]
    assert len(batches) == 16
    assert sum(len(batch.programmes) for batch in batches) == 300
    report = station.step("report-night", plan=plan.result, transcripts=station.at("transcripts"))
    assert report.counts == {"programmes": 300, "failed": 300}
    assert len(report.warnings) == 11, "ten, and how many more"
    index = storage.read_bytes(report.labels["index"]).splitlines()
    assert len({json.loads(line)["programme"] for line in index}) == 300


def test_a_night_is_named_by_its_date(storage_root: str, two_models: tuple[str, str]) -> None:
    station = Station(storage_root)
    plan = station.plan(two_models[0]).result
    transcripts = station.at("transcripts")
    reports = [
        station.step("report-night", plan=plan, transcripts=transcripts, night=night)
        for night in ("2026-11-22", "arrivals-2026-11-22T031500", "2026-11-22")
    ]
    folders = [report.labels["index"].removeprefix(station.at("transcripts", "_nights", "")) for report in reports]
    assert folders[0].startswith("2026-11-22-")
    assert folders[1].startswith("arrivals-2026-11-22T031500-")
    assert folders[2] == folders[0], "a retry finds its own"
    page = storage.read_bytes(reports[0].labels["page"]).decode()
    assert f"Report {folders[0].split('/')[0]}</p>" in page


def test_the_cost_of_a_night(two_models: tuple[str, str], tmp_path: Path) -> None:
    station = Station((tmp_path / "storage").as_uri())
    rows = [
        Publication(programme=n, media=n, outcome=Outcome.DONE, duration_s=s) for n, s in (("a", 60.0), ("b", 180.0))
    ]
    bad = Publication(programme="c", media="c", outcome=Outcome.QUARANTINED, reason=Reason.NOT_MEDIA)
    metrics = {"cpu_s": 360.0, "gpu_s": 720.0, "rtfx": 90.0}
    uri = write_result(station.at("publish"), "publish", {PUBLISHED: to_lines([*rows, bad])}, metrics=metrics)
    prices = ReportNight(output="", plan="", transcripts="", cpu_hour_price=0.2, gpu_hour_price=1.5)
    found = {row.programme: (row.compute_s, row.cost) for row in batch_rows(uri, load_result(uri), prices)}
    assert found == {"a": (270.0, 0.08), "b": (810.0, 0.24), "c": (None, None)}
    free = ReportNight(output="", plan="", transcripts="")
    assert [row.cost for row in batch_rows(uri, load_result(uri), free)] == [None] * 3


def test_copies_cost_nothing_and_rejected_files_do(two_models: tuple[str, str], tmp_path: Path) -> None:
    station = Station((tmp_path / "storage").as_uri())
    hour = Publication(programme="a", media="a", outcome=Outcome.DONE, duration_s=3600.0, words=9000)
    copy = hour.model_copy(update={"programme": "b", "media": "b", "is_copy": True})
    bad = Publication(programme="c", media="c", outcome=Outcome.QUARANTINED, reason=Reason.NOT_MEDIA)
    batches = ([hour, copy], {"cpu_s": 180.0, "gpu_s": 720.0, "rtfx": 90.0}), ([bad], {"cpu_s": 36.0})
    published = tuple(
        write_result(station.at(f"publish-{n}"), "publish", {PUBLISHED: to_lines(rows)}, metrics=metrics)
        for n, (rows, metrics) in enumerate(batches)
    )
    receipt = station.step(
        "report-night",
        plan=station.plan(two_models[0]).result,
        published=published,
        transcripts=station.at("transcripts"),
        cpu_hour_price=1.0,
        gpu_hour_price=2.0,
    )
    report = read_one(NightReport, output_uri(receipt.result, load_result(receipt.result), "report.json"))
    assert [(row.compute_s, row.cost, row.rtfx) for row in report.rows] == [
        (900.0, 0.45, 90.0),
        (None, None, None),
        (None, None, None),
    ]
    assert (report.hours, report.words, report.compute_s, report.cost) == (1.0, 9000, 936.0, 0.46)


def test_a_night_counts_the_programmes_without_speakers(storage_root: str, two_models: tuple[str, str]) -> None:
    station = Station(storage_root)
    plan = station.plan(two_models[0])
    done = Publication(programme="a", media="a", outcome=Outcome.DONE, words=9, speakers=2)
    lost = {"outcome": Outcome.DONE_WITH_WARNINGS, "speakers": None, "detail": "speakers were not told apart: a fault"}
    rows = [
        done,
        *(done.model_copy(update=lost | {"programme": n, "media": n}) for n in "bc"),
        Publication(programme="d", media="d", outcome=Outcome.DONE_NO_SPEECH),
    ]
    uri = write_result(station.at("publish"), "publish", {PUBLISHED: to_lines(rows)})
    report = station.step("report-night", plan=plan.result, published=(uri,), transcripts=station.at("transcripts"))
    assert report.counts[WITHOUT_SPEAKERS] == 2
    assert report.warnings == tuple(f"{name}: speakers were not told apart: a fault" for name in "bc")


def test_an_empty_inbox(storage_root: str, two_models: tuple[str, str]) -> None:
    plan, report = Station(storage_root).night(two_models[0])
    assert plan.items == ()
    assert report.news.startswith("nothing new: no media under")
    assert report.rows == ()


def test_a_plan_is_for_one_version_of_the_model(storage_root: str, two_models: tuple[str, str]) -> None:
    station = Station(storage_root)
    station.deliver("a.wav", b"x")
    plan = station.plan(two_models[0])
    (item,) = plan.items
    batch = read_one(Batch, item.uri)
    assert plan.labels["model"] == batch.pipeline.model == Path(two_models[0]).as_uri()
    assert Ledger(station.at("transcripts"), batch.pipeline).transcribed() == set()
    assert station.plan(two_models[0]).status is Status.CACHED
    assert station.plan(two_models[1]).status is Status.DONE


def test_without_a_diarizer_the_night_is_planned_without_speakers(
    storage_root: str, two_models: tuple[str, str], speech_wav: bytes
) -> None:
    station = Station(storage_root)
    station.deliver("news.wav", speech_wav)
    arguments = {"inbox": station.at("inbox"), "transcripts": station.at("transcripts"), "model": two_models[0]}
    missing = station.step("plan-night", diarizer=station.at("no", "such", "diarizer"), settle_s=0, **arguments)
    (warning,) = missing.warnings
    assert warning.startswith("there will be no speakers")
    prepared = station.step("prepare-media", batch=missing.items[0].uri).result
    with pytest.raises(InputRejected, match="config"):
        station.step("diarize", prepared=prepared, diarizer=missing.labels["diarizer"])
    assert station.step("plan-night", settle_s=0, **arguments).warnings == ()
