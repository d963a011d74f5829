"""The error rate by people, on the versions in MLflow that it is of."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from mlflow import MlflowClient
from typer.testing import CliRunner

from tasks.desk.error_rates import by_genre, by_speaker, counted, daily
from tasks.desk.review_log import ReviewLine, log_review
from tasks.transcripts.error_counts import ErrorCounts
from tests.training.tones import registry
from training.registry.review_scores import app

NAME = "m"


def line(programme: str, model: str, errors: int, day: int = 1, **fields: object) -> ReviewLine:
    counts = ErrorCounts(substitutions=errors, length=100)
    given = {
        "programme": programme,
        "key": f"{programme}/{'ab' * 6}",
        "number": 1,
        "author": "ana",
        "created_at": datetime(2026, 3, day, 12, tzinfo=UTC),
        "finished": True,
        "media": f"file:///inbox/news/{programme}.mp4",
        "media_sha256": "ab" * 32,
        "transcript": "file:///t",
        "model": model,
        "errors": counts,
        "by_speaker": {"Ana": counts},
    }
    return ReviewLine(**given | fields)


def test_the_last_finished_review_of_a_programme_counts() -> None:
    lines = [
        line("a", "m/1", 9),
        line("a", "m/1", 5, day=2, number=2),
        line("b", "m/1", 7, finished=False),
        line("c", "m/2", 1, day=2, media="file:///inbox/sport/c.mp4"),
    ]
    kept = counted(lines)
    assert [(one.programme, one.number) for one in kept] == [("a", 2), ("c", 1)]
    assert len(counted(lines, only_finished=False)) == 3
    assert {(rate.group, rate.errors.rate) for rate in by_genre(kept)} == {("news", 0.05), ("sport", 0.01)}
    assert [(rate.group, rate.programmes, rate.errors.errors) for rate in by_speaker(kept)] == [("Ana", 2, 6)]
    assert [(rate.day.day, rate.model, rate.errors.errors) for rate in daily(kept)] == [(2, "m/1", 5), (2, "m/2", 1)]


def test_versions_get_their_rate_and_its_series(mlflow_store: str, tmp_path: Path) -> None:
    client: MlflowClient = registry(mlflow_store, NAME, n_versions=1)
    run = client.create_run(client.create_experiment(NAME)).info.run_id
    client.create_model_version(NAME, "file:///nowhere/2", run_id=run)
    transcripts = tmp_path.as_uri()
    for one in (line("a", "m/2", 10), line("b", "m/2", 20, day=2), line("c", "whisper", 1), line("d", "m/9", 1)):
        log_review(transcripts, one)
    for _ in range(2):
        done = CliRunner().invoke(app, ["--transcripts", transcripts, "--name", NAME])
        assert "model m/2: 15.0% (200 words of 2 programmes)" in done.stdout
        assert "recorded on 1 versions of m" in done.stdout
    version = client.get_model_version(NAME, "2")
    assert (version.tags["reviews_wer"], version.tags["reviews_words"]) == ("0.1500", "200")
    assert "reviews_wer" not in client.get_model_version(NAME, "1").tags
    assert [m.value for m in client.get_metric_history(run, "reviews_wer")] == [0.1, 0.2]
