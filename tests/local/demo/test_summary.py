import io
import json
import os
from pathlib import Path

import pytest
from rich.console import Console

from local.demo.night_results import NightScore, ProgrammeResult, first_lines, programme_results, score_nights
from local.demo.summary import (
    dataset_lines,
    durations_line,
    example_lines,
    inbox_line,
    model_lines,
    night_table,
)
from tasks.contract import Receipt, Status


def write_night(transcripts: Path, night: str, age_s: float, *lines: dict[str, object]) -> None:
    index = transcripts / "_nights" / night / "index.jsonl"
    index.parent.mkdir(parents=True)
    index.write_text("".join(json.dumps(line) + "\n" for line in lines))
    os.utime(index, (1e9 - age_s, 1e9 - age_s))


def row(programme: str, model: str, text: str = "", **more: object) -> dict[str, object]:
    outcome = "done" if model else "quarantined"
    return {"programme": programme, "media": f"file:///inbox/{programme}", "model": model, "text": text} | {
        "outcome": outcome,
        **more,
    }


@pytest.fixture
def transcripts(tmp_path: Path) -> Path:
    folder = tmp_path / "transcripts"
    for name, text in (("old", "good evening"), ("new", "good morning\n\neverybody")):
        (folder / name).mkdir(parents=True)
        (folder / name / "news.txt").write_text(text)
    old, new = ((folder / name / "news.txt").as_uri() for name in ("old", "new"))
    write_night(folder, "b", 100, row("news", "m/1", old), row("film", "", reason="not_media", detail="a text file"))
    write_night(folder, "a", 10, row("news", "m/2", new, duration_s=61.0, speakers=2, rtfx=40.4, surprise="ignored"))
    return folder


def test_results_are_those_of_one_model_and_of_untranscribed_programmes(transcripts: Path) -> None:
    found = programme_results(transcripts.as_uri(), "m/2")
    assert [(r.programme, r.model) for r in found] == [("film", ""), ("news", "m/2")]
    assert first_lines(found[1], 1) == ["good morning"]
    assert first_lines(found[1]) == ["good morning", "everybody"]
    assert first_lines(found[0]) == []
    assert programme_results((transcripts / "absent").as_uri(), "m/2") == []


def test_scoring_runs_as_a_separate_process(transcripts: Path, tmp_path: Path) -> None:
    references = tmp_path / "references"
    assert score_nights(transcripts.as_uri(), references.as_uri(), "m/2", os.environ) is None
    references.mkdir()
    (references / "news.txt").write_text("Good morning, everyone!\n")
    found = score_nights(transcripts.as_uri(), references.as_uri(), "m/2", os.environ)
    assert found is not None
    assert (found.errors, found.reference_words) == (1, 3)
    news = found.of("news")
    assert news is not None
    assert news.wer == pytest.approx(1 / 3)
    assert found.of("film") is None


def test_the_table_has_a_row_a_programme(transcripts: Path) -> None:
    known = NightScore.model_validate(
        {
            "reference_words": 3,
            "errors": 1,
            "wer": 1 / 3,
            "programmes": [{"programme": "news", "reference_words": 3, "errors": 1, "wer": 1 / 3}],
        }
    )
    output = io.StringIO()
    console = Console(file=output, width=160)
    console.print(night_table(programme_results(transcripts.as_uri(), "m/2"), transcripts.as_uri(), {"m/2": known}))
    film, news = output.getvalue().splitlines()[-2:]
    assert film.split() == ["film", "quarantined", "(not", "media)", "a", "text", "file"]
    assert news.split() == ["news", "done", "1:01", "2", "40", "33.3", "%", "new/news.txt"]


def test_unknown_speakers_and_silence_are_not_shown_as_zero() -> None:
    music = ProgrammeResult(
        programme="music", media="file:///m", outcome="done_no_speech", duration_s=45.0, speakers=None
    )
    silent = NightScore.model_validate(
        {
            "reference_words": 0,
            "errors": 0,
            "wer": None,
            "programmes": [{"programme": "music", "reference_words": 0, "errors": 0, "wer": None}],
        }
    )
    output = io.StringIO()
    Console(file=output, width=160).print(night_table([music], "file:///t", {"m/2": silent}))
    assert output.getvalue().splitlines()[-1].split() == ["music", "done", "(no", "speech)", "0:45", "-"]


def test_lines_of_dataset_and_model() -> None:
    assembled = Receipt(
        step="assemble-dataset",
        status=Status.DONE,
        result="file:///r/result.json",
        counts={"utterances": 12, "utterances_train": 10, "utterances_test": 2, "dropped:alphabet": 3},
        metrics={"hours": 0.5, "hours_train": 0.4, "hours_test": 0.1},
        labels={"version": "0123456789abcdef", "manifest": "file:///r/manifest.json"},
    )
    first, second, third = dataset_lines(assembled)
    assert first == "0.50 h in 12 utterances: train 0.40 h, 10 utterances; test 0.10 h, 2 utterances"
    assert second == "version 0123456789ab   /r/manifest.json"
    assert third == "dropped: alphabet 3"
    evaluated = Receipt(
        step="evaluate", status=Status.DONE, metrics={"wer": 0.09, "wer_low": 0.08, "wer_high": 0.1}, result="file:///e"
    )
    promoted = Receipt(
        step="promote-model", status=Status.CACHED, result="file:///p", labels={"promoted": "yes", "reason": "better"}
    )
    assert model_lines(None, promoted, evaluated, 0.2) == [
        "WER on the dataset's test split: 20.0 % before, 9.0 % after fine-tuning (95 % CI 8.0 % to 10.0 %)",
        "promoted to champion: better",
    ]


def test_durations_are_summed_up() -> None:
    assert durations_line({"services": 24.4, "corpus_features": 120.0}) == (
        "services 24 s, corpus_features 2:00; together 2:24"
    )


def test_models_stand_side_by_side(transcripts: Path) -> None:
    results = {model: programme_results(transcripts.as_uri(), model) for model in ("m/1", "m/2")}
    assert dict(example_lines(results)) == {
        "news.txt by m/1 begins": ["good evening"],
        "news.txt by m/2 begins": ["good morning", "everybody"],
    }
    scores = {
        model: NightScore.model_validate({"reference_words": 50, "errors": 5, "wer": wer, "programmes": []})
        for model, wer in (("m/1", 0.1), ("m/2", 0.25))
    }
    assert inbox_line(scores) == "WER on the inbox (50 words): 10.0 % with m/1, 25.0 % with m/2"


def test_an_example_is_a_programme_that_all_models_transcribed(transcripts: Path) -> None:
    of_one = programme_results(transcripts.as_uri(), "m/1")
    assert list(example_lines({"m/1": of_one, "m/3": programme_results(transcripts.as_uri(), "m/3")})) == []
