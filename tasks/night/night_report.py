"""The night's report as one HTML page."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

from tasks.contract import Outcome
from tasks.night.records import NightReport, NightRow
from tasks.pages.formatting import clock, number, percent, phrase
from tasks.pages.tables import Column, without_empty_columns
from tasks.pages.templates import render

NIGHTS = "_nights"
"""Folder of the reports: `<transcripts>/_nights/<night>/report.html`."""
_TO_TRANSCRIPTS = "../../"


@dataclass(frozen=True)
class _Figure:
    """A column of figures; empty text where a programme has none."""

    name: str
    text_of: Callable[[NightRow], str]
    meaning: str = ""


_FIGURES = (
    _Figure("Duration", lambda row: clock(row.duration_s) if row.duration_s else ""),
    _Figure("Speakers", lambda row: number(row.speakers)),
    _Figure("Words", lambda row: number(row.words) if row.transcript else ""),
    _Figure("Words/min", lambda row: number(row.words_a_minute), "Words per minute of speech"),
    _Figure("Coverage", lambda row: percent(row.coverage, 0), "Share of the detected speech that has words"),
    _Figure("Confidence", lambda row: number(row.confidence, 2), "Mean confidence of the words"),
    _Figure(
        "Re-decoded",
        lambda row: f"{row.redecoded_s:.0f} s" if row.redecoded_s else "",
        "Speech decoded again because its first hypothesis failed the quality gate",
    ),
    _Figure(
        "Suspect",
        lambda row: f"{row.suspect_s:.0f} s" if row.suspect_s else "",
        "Speech whose final hypothesis failed the quality gate",
    ),
    _Figure(
        "Cues over limits",
        lambda row: f"{row.cues_beyond} of {row.cues}" if row.cues else "",
        "Subtitles that break a limit, such as reading speed, line width or duration",
    ),
    _Figure("RTFx", lambda row: number(row.rtfx), "Seconds of audio recognised per second, over the programme's batch"),
    _Figure("Cost", lambda row: number(row.cost, 2), "The programme's share of its batch's cost, by duration"),
    _Figure(
        "Compute time",
        lambda row: "" if row.cost is not None or row.compute_s is None else clock(row.compute_s),
        "The programme's share of its batch's pod time, by duration",
    ),
)


def render_night_report(report: NightReport, transcripts: str) -> str:
    """Render the page. Equal reports give equal pages.

    Links to what lies under `transcripts` are relative to the page's place there, so they work from a folder, from S3
    and through Airflow.
    """
    figures = without_empty_columns(
        [Column(figure.name, is_number=True, meaning=figure.meaning) for figure in _FIGURES],
        [[figure.text_of(row) for figure in _FIGURES] for row in report.rows],
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
