"""Programmes that people have checked become part of a dataset, with their words and without matching."""

from __future__ import annotations

import pytest

from tasks import storage
from tasks.contract import InputRejected, Receipt
from tasks.corpus.records import Programme
from tasks.dataset.manifest import REVIEWED_PREFIX, Split, load_manifest, read_batches
from tasks.desk.programmes import load_programme
from tasks.desk.reviews import save_review
from tasks.publishing.transcripts import publish_transcript
from tests.tasks.corpus.conftest import Pipeline, sound
from tests.tasks.corpus.steps.results import fill, outcomes
from tests.tasks.desk.drafts import draft_of
from tests.tasks.transcripts.builders import speak, transcript

KEY = "ab12" * 16


def transcribe(pipeline: Pipeline, name: str, sha256: str, seed: int, finished: bool = True) -> None:
    """Put a programme into the inbox, with a machine's transcript and a person's review."""
    media, transcripts = storage.join(pipeline.root, "inbox", f"{name}.wav"), storage.join(pipeline.root, "transcripts")
    storage.write(media, sound(8.0, seed))
    words = [*speak("Good mourning from there news.", "S1", 500), *speak("It is find.", "S2", 5000)]
    publish_transcript(transcript(words, duration_ms=8000, uri=media, sha256=sha256), name, KEY, transcripts)
    place = f"{name}/{KEY[:12]}"
    typed = {"mourning": "morning", "there": "their", "find.": "fine."}
    save_review(transcripts, place, draft_of(load_programme(transcripts, place), typed, finished=finished), "ana")


def run(pipeline: Pipeline) -> tuple[Receipt, Receipt]:
    scan = pipeline.scan(reviews=storage.join(pipeline.root, "transcripts"))
    return scan, pipeline.assemble(scan, pipeline.extract(pipeline.prepare(scan)))


def test_finished_reviews_are_transcripts_of_the_corpus(folder: Pipeline) -> None:
    fill(folder)
    before = folder.scan()
    transcribe(folder, "2026-03-23_news", "ab" * 32, seed=90)
    transcribe(folder, "2026-03-24_unfinished", "cd" * 32, seed=91, finished=False)
    assert folder.scan().result == before.result, "without reviews, nothing changes"
    scan, assembled = run(folder)
    assert scan.counts["reviewed"] == 1
    manifest, _ = load_manifest(assembled.labels["manifest"])
    rows = [
        row
        for split in Split
        for batch in read_batches(manifest, split, ["programme_id", "speaker", "text", "duration_s", "match_error"])
        for row in batch.to_pylist()
        if row["programme_id"].startswith(REVIEWED_PREFIX)
    ]
    assert {row["programme_id"] for row in rows} == {f"{REVIEWED_PREFIX}{'ab' * 6}-2026-03-23_news"}
    assert [(row["speaker"], row["text"]) for row in rows] == [
        ("S1", "good morning from their news."),
        ("S2", "it is fine."),
    ]
    assert [round(row["duration_s"], 2) for row in rows] == [1.7, 1.1], "the words' own times, and a margin"
    assert (manifest.reviewed.count, manifest.reviewed.ms) == (2, 2800)
    assert assembled.metrics["hours_reviewed"] == manifest.reviewed.hours


def test_held_out_programmes_are_never_trained_on(folder: Pipeline) -> None:
    """Also if they were trained on before, and in later datasets that do not name them."""
    fill(folder)
    for number in range(1, 6):
        transcribe(folder, f"2026-03-2{number}_news", f"{number}a" * 32, seed=90 + number)
    reviews = storage.join(folder.root, "transcripts")
    before = planned_splits(folder.scan(reviews=reviews))
    trained_on = [name for name, split in before.items() if split is Split.TRAIN]
    named, others = trained_on[:2], trained_on[2:]
    held_out = f"{named[0]}\n\n{named[1][:-4]}*\n"
    after = planned_splits(folder.scan(reviews=reviews, held_out=held_out))
    assert {after[name] for name in named} == {Split.TEST}
    assert {name: after[name] for name in others} == {name: before[name] for name in others}
    assert planned_splits(folder.scan(reviews=reviews)) == after


def test_a_held_out_name_that_is_none_is_told(folder: Pipeline) -> None:
    fill(folder)
    transcribe(folder, "2026-03-23_news", "ab" * 32, seed=90)
    with pytest.raises(InputRejected, match="no programme of this name") as raised:
        folder.scan(reviews=storage.join(folder.root, "transcripts"), held_out="2026-03-23_gnews")
    assert raised.value.subject == "--held-out=2026-03-23_gnews"


def planned_splits(scan: Receipt) -> dict[str, Split]:
    """The split of each reviewed programme, by its name."""
    lines = b"".join(storage.read_bytes(item.uri) for item in scan.items).splitlines()
    programmes = [Programme.model_validate_json(line) for line in lines]
    n_before_name = len(REVIEWED_PREFIX) + 13  # twelve digits and a dash
    return {
        programme.programme_id[n_before_name:]: programme.split
        for programme in programmes
        if programme.programme_id.startswith(REVIEWED_PREFIX)
    }


def test_a_reviewed_programme_of_the_archive_replaces_its_captions(folder: Pipeline) -> None:
    fill(folder)
    media = storage.join(folder.media, "news.wav")
    folder.add("news", seconds=8.0, seed=92)
    transcripts = storage.join(folder.root, "transcripts")
    words = speak("Good evening.", "S1", 500)
    publish_transcript(transcript(words, duration_ms=8000, uri=media), "news", KEY, transcripts)
    place = f"news/{KEY[:12]}"
    save_review(transcripts, place, draft_of(load_programme(transcripts, place), finished=True), "ana")
    scan, _ = run(folder)
    assert scan.counts["reviewed"] == 1
    lines = b"".join(storage.read_bytes(item.uri) for item in scan.items).decode().splitlines()
    assert [line for line in lines if media in line and "Good evening." in line] == [
        line for line in lines if media in line
    ]


def test_a_reviewed_programme_without_its_media_is_told(folder: Pipeline) -> None:
    fill(folder)
    transcribe(folder, "2026-03-23_news", "ab" * 32, seed=90)
    storage.delete(storage.join(folder.root, "inbox", "2026-03-23_news.wav"))
    scan = folder.scan(reviews=storage.join(folder.root, "transcripts"))
    assert any("no such object" in outcome.detail for outcome in outcomes([scan]).values())
