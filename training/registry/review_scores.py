"""The error rate by people on the model's versions in MLflow: `python -m training score-reviews --transcripts URI`.

Prints the rates by model, genre and speaker. For each version of the registered model that transcribed a reviewed
programme, its MLflow run gets the series `reviews_wer`, a point for each day of reviews, and the version the tags
`reviews_wer` and `reviews_words`. Safe to run again: a point has the day as its step, and equal points are one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, time
from typing import TYPE_CHECKING, Annotated

import typer

from tasks.contract import ExitCode
from tasks.desk.error_rates import DailyRate, ErrorRate, by_genre, by_model, by_speaker, counted, daily
from tasks.desk.review_log import ReviewLine, read_review_log
from tasks.transcripts.normaliser import NORMALISER

if TYPE_CHECKING:
    from mlflow import MlflowClient

SERIES, WORDS = "reviews_wer", "reviews_words"

app = typer.Typer()


@app.command()
def score_reviews(
    transcripts: Annotated[str, typer.Option(help="URI prefix of the transcripts")],
    name: Annotated[str, typer.Option(help="registered model")] = "acoustic-model",
    unfinished: Annotated[bool, typer.Option(help="count reviews that are not marked as finished, too")] = False,
) -> None:
    """Compare the machine's words with people's, and record the error rates in MLflow."""
    from training.registry.tracking import connect

    lines = counted(read_review_log(transcripts.rstrip("/")), only_finished=not unfinished)
    print(f"{len(lines)} reviewed programmes, WER by {NORMALISER}")
    for title, rates in (("model", by_model(lines)), ("genre", by_genre(lines)), ("speaker", by_speaker(lines))):
        print_rates(title, rates)
    n_versions = record(connect(), name, lines) if lines else 0
    print(f"recorded on {n_versions} versions of {name}")


def print_rates(title: str, rates: Sequence[ErrorRate]) -> None:
    for rate in rates:
        words = f"{rate.errors.length} words of {rate.programmes} programmes"
        print(f"{title} {rate.group or 'unknown'}: {rate.errors.rate:.1%} ({words})")


def record(client: MlflowClient, name: str, lines: Iterable[ReviewLine]) -> int:
    """Record the rates on every version of the registered model that they are of. Return the number of versions."""
    from mlflow.exceptions import MlflowException

    lines = list(lines)
    points, versions = daily(lines), 0
    for rate in by_model(lines):
        model, _, number = rate.group.rpartition("/")
        if model != name or not number.isdigit():
            continue
        try:
            version = client.get_model_version(name, number)
        except MlflowException:  # deleted since
            continue
        versions += 1
        client.set_model_version_tag(name, number, SERIES, f"{rate.errors.rate:.4f}")
        client.set_model_version_tag(name, number, WORDS, str(rate.errors.length))
        if version.run_id:
            log_series(client, version.run_id, [point for point in points if point.model == rate.group])
    return versions


def log_series(client: MlflowClient, run_id: str, points: Iterable[DailyRate]) -> None:
    """Log a point for each day, unless it is logged already."""
    logged = {(point.step, point.value) for point in client.get_metric_history(run_id, SERIES)}
    for point in points:
        step, value = point.day.toordinal(), point.errors.rate
        if (step, value) not in logged:
            at = datetime.combine(point.day, time(), UTC)
            client.log_metric(run_id, SERIES, value, timestamp=int(at.timestamp() * 1000), step=step)


def main(argv: list[str]) -> int:
    app(argv, prog_name="python -m training score-reviews", standalone_mode=False)
    return ExitCode.DONE
