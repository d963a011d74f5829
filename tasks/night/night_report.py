"""The night's report as one HTML page."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from urllib.parse import quote

from tasks.contract import Outcome
from tasks.night.records import NightReport, NightRow
from tasks.pages.formatting import clock, number, percent, phrase
from tasks.pages.tables import Column, without_empty_columns
from tasks.pages.templates import render

NIGHTS = "_nights"
"""Folder of the reports: `<transcripts>/_nights/<night>/report.html`."""
_TO_TRANSCRIPTS = "../../"

_FIGURES: tuple[tuple[Column, Callable[[NightRow], str]], ...] = (
    (Column("Duration", True), lambda row: clock(row.duration_s) if row.duration_s else ""),
    (Column("Speakers", True), lambda row: number(row.speakers)),
    (Column("Words", True), lambda row: number(row.words) if row.transcript else ""),
    (
        Column("Words/min", True, "Words per minute of speech"),
        lambda row: number(row.words_a_minute),
    ),
    (
        Column("Coverage", True, "Share of the detected speech that has words"),
        lambda row: percent(row.coverage, 0),
    ),
    (
        Column("Confidence", True, "Mean confidence of the words"),
        lambda row: number(row.confidence, 2),
    ),
    (
        Column("Re-decoded", True, "Speech decoded again because its first hypothesis failed the quality gate"),
        lambda row: f"{row.redecoded_s:.0f} s" if row.redecoded_s else "",
    ),
    (
        Column("Suspect", True, "Speech whose final hypothesis failed the quality gate"),
        lambda row: f"{row.suspect_s:.0f} s" if row.suspect_s else "",
    ),
    (
        Column("Cues over limits", True, "Subtitles that break a limit of reading speed, length or duration"),
        lambda row: f"{row.cues_beyond} of {row.cues}" if row.cues else "",
    ),
    (
        Column("RTFx", True, "Seconds of audio recognised per second, over the programme's batch"),
        lambda row: number(row.rtfx),
    ),
    (
        Column("Cost", True, "Its share of what the batch's steps cost"),
        lambda row: number(row.cost, 2),
    ),
    (
        Column("Compute time", True, "Its share of the time of the batch's steps"),
        lambda row: "" if row.cost is not None or row.compute_s is None else clock(row.compute_s),
    ),
)


def render_night_report(report: NightReport, transcripts: str) -> str:
    """Render the page. Equal reports give equal pages.

    Links to what lies under `transcripts` are relative to the page's place there, so they work from a folder, from S3
    and through Airflow.
    """
    figures = without_empty_columns(
        [column for column, _ in _FIGURES], [[show(row) for _, show in _FIGURES] for row in report.rows]
    )
    inbox = _common_folder([row.media for row in report.rows])
    return render(
        "tasks.night/night_report.html.jinja",
        report=report,
        tiles=_tiles(report),
        columns=figures.columns,
        rows=[
            {
                "row": row,
                "media": row.media.removeprefix(inbox),
                "state": _state(row.outcome),
                "remark": ": ".join(part for part in (phrase(row.reason or ""), row.detail) if part),
                "figures": cells,
                "text": _link(row.text, transcripts),
                "folder": _link(row.transcript, transcripts),
            }
            for row, cells in zip(report.rows, figures.rows, strict=True)
        ],
        inbox=inbox,
        has_transcripts=any(row.transcript for row in report.rows),
    )


def _tiles(report: NightReport) -> list[tuple[str, str, str]]:
    return [
        (number(len(report.rows)), "programmes", ""),
        (f"{number(report.hours, 2)} h", "transcribed", ""),
        (number(report.words), "words", ""),
        (clock(report.compute_s), "compute time", "") if report.cost is None else (number(report.cost, 2), "cost", ""),
        *((number(n), phrase(outcome), _state(Outcome(outcome))) for outcome, n in report.outcomes.items()),
    ]


def _state(outcome: Outcome) -> str:
    """The class that colours an outcome."""
    if outcome in (Outcome.DONE, Outcome.DONE_NO_SPEECH):
        return "good"
    return "fair" if outcome is Outcome.DONE_WITH_WARNINGS else "bad"


def _common_folder(uris: list[str]) -> str:
    """Return the longest folder, with its slash, that holds all `uris`; empty if there is none."""
    folder, slash, _ = posixpath.commonprefix(uris).rpartition("/")
    return folder + slash


def _link(uri: str, transcripts: str) -> str:
    """Return a link from the page to `uri`: relative below the transcripts, elsewhere the URI itself."""
    root = transcripts.rstrip("/") + "/"
    if not uri.startswith(root):
        return uri
    path = uri.removeprefix(root)
    return _TO_TRANSCRIPTS + (path if uri.startswith("file://") else quote(path))  # a file URI is quoted already
