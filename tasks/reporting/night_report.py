"""A night's report as one HTML page: what needs attention, every programme, distributions and the trend."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from urllib.parse import quote

from markupsafe import Markup

from tasks.contract import Outcome
from tasks.pages.charts import distribution
from tasks.pages.formatting import clock, number, percent, phrase
from tasks.pages.tables import Column, without_empty_columns
from tasks.pages.templates import render
from tasks.reporting.records import NightReport, NightRow
from tasks.reporting.trend import Day, trend_charts

MIN_PLOTTED = 5  # programmes; fewer are read faster in the table
_TO_TRANSCRIPTS = "../../"
_ARRIVALS = "arrivals-"  # begins the names of `transcribe_on_arrival`, such as `arrivals-2026-11-30T101500-002226f8`
_TIME = re.compile(r"T(\d\d)(\d\d)\d\d")


@dataclass(frozen=True)
class Links:
    """Where a programme's name and its formats lead to, as links from the page."""

    page: str
    formats: str


@dataclass(frozen=True)
class _Figure:
    """A column of figures; empty text where a programme has none."""

    name: str
    text_of: Callable[[NightRow], str]
    meaning: str = ""
    is_detail: bool = False


_PACE = "Words per minute of speech"
_SPEED = "Times real time, over the programme's batch"
_FIGURES = (
    _Figure("Duration", lambda row: clock(row.duration_s) if row.duration_s else ""),
    _Figure("Speakers", lambda row: number(row.speakers) if row.speakers else ""),
    _Figure("Words", lambda row: number(row.words) if row.words else ""),
    _Figure(
        "Words/min", lambda row: number(row.words_a_minute) if row.words else "", "Words per minute of speech", True
    ),
    _Figure("Confidence", lambda row: number(row.confidence, 2), "Mean confidence of the words"),
    _Figure(
        "Coverage",
        lambda row: percent(row.coverage, 0) if row.words else "",
        "Share of the detected speech that has words",
        True,
    ),
    _Figure(
        "Re-decoded",
        lambda row: f"{row.redecoded_s:.0f} s" if row.redecoded_s else "",
        "Speech decoded again because its first hypothesis failed the quality gate",
        True,
    ),
    _Figure(
        "Suspect",
        lambda row: f"{row.suspect_s:.0f} s" if row.suspect_s else "",
        "Speech whose final hypothesis failed the quality gate",
    ),
    _Figure(
        "Cues over limits",
        lambda row: f"{row.cues_beyond} of {row.cues}" if row.cues_beyond else "",
        "Subtitles that break a limit, such as reading speed, line width or duration",
        True,
    ),
    _Figure(
        "Speed", lambda row: f"{row.rtfx:.0f}×" if row.rtfx else "", "Times real time, over the programme's batch", True
    ),
    _Figure("Cost", lambda row: number(row.cost, 2), "The programme's share of its batch's cost, by duration", True),
    _Figure(
        "Compute time",
        lambda row: "" if row.cost is not None or row.compute_s is None else clock(row.compute_s),
        "The programme's share of its batch's pod time, by duration",
        True,
    ),
)


def render_night_report(
    report: NightReport,
    transcripts: str,
    *,
    links_of: Callable[[NightRow], Links] | None = None,
    days: Sequence[Day] = (),
) -> str:
    """Render the page. Equal reports give equal pages.

    `links_of`: where programmes lead to. By default to what lies under `transcripts`, relative to the page's place
    there, so that links work from a folder, from S3 and through Airflow.
    `days`: the trend, the latest last.
    """
    links_of = links_of or partial(_file_links, transcripts=transcripts)
    shown = [row for row in report.rows if row.transcript]
    figures = without_empty_columns(
        [
            Column(figure.name, is_number=True, meaning=figure.meaning, is_detail=figure.is_detail)
            for figure in _FIGURES
        ],
        [[figure.text_of(row) for figure in _FIGURES] for row in shown],
    )
    inbox = _common_folder([row.media for row in report.rows])
    return render(
        "tasks.reporting/night_report.html.jinja",
        report=report,
        title=title(report.night),
        tiles=_tiles(report),
        problems=[_line(row, inbox, links_of) for row in sorted(report.rows, key=_severity) if _severity(row) < _FINE],
        columns=figures.columns,
        lines=[
            _line(row, inbox, links_of) | {"figures": cells} for row, cells in zip(shown, figures.rows, strict=True)
        ],
        inbox=inbox,
        distributions=list(_distributions(shown)),
        trend=trend_charts(days),
        days=days,
    )


def title(night: str) -> str:
    """`Night of 30 November 2026`, or the name itself if it has no date."""
    day = day_of(night)
    if day is None:
        return f"Transcripts of {night}"
    in_words = f"{day.day} {day:%B %Y}"
    if not night.startswith(_ARRIVALS):
        return f"Night of {in_words}"
    found = _TIME.search(night)
    return f"Arrivals of {in_words}" + (f", {found[1]}:{found[2]}" if found else "")


def day_of(night: str) -> date | None:
    """Return the day in the name of a night; None if it has none."""
    try:
        return date.fromisoformat(night.removeprefix(_ARRIVALS)[:10])
    except ValueError:
        return None


_FINE = 3


def _severity(row: NightRow) -> int:
    """0: no transcript; 1: without the speakers; 2: with warnings; 3: fine."""
    if not row.outcome.is_done:
        return 0
    if row.words and row.speakers is None:
        return 1
    return 2 if row.outcome is Outcome.DONE_WITH_WARNINGS else _FINE


def _line(row: NightRow, inbox: str, links_of: Callable[[NightRow], Links]) -> dict[str, object]:
    """A programme as the page shows it."""
    media = row.media.removeprefix(inbox)
    is_plain = row.outcome is Outcome.DONE_NO_SPEECH
    return {
        "row": row,
        # The file's name says nothing that the programme's does not, unless it was renamed or lies in a folder.
        "media": "" if posixpath.splitext(media)[0] == row.programme else media,
        "state": _state(row.outcome),
        "outcome": "no speech" if is_plain else phrase(row.outcome),
        "remark": ": ".join(part for part in ("" if is_plain else phrase(row.reason or ""), row.detail) if part),
        "links": links_of(row) if row.transcript else None,
    }


def _tiles(report: NightReport) -> list[tuple[str, str, str]]:
    speed = 3600 * report.hours / report.compute_s if report.compute_s else 0.0
    problems = sum(n for outcome, n in report.outcomes.items() if not Outcome(outcome).is_done)
    return [
        (number(len(report.rows)), "programmes", ""),
        (f"{number(report.hours, 2)} h", "transcribed", ""),
        (number(report.words), "words", ""),
        *([(f"{speed:.0f}×", "real time", "")] if speed else []),
        (clock(report.compute_s), "compute time", "") if report.cost is None else (number(report.cost, 2), "cost", ""),
        *(
            (number(n), phrase(outcome), _state(Outcome(outcome)))
            for outcome, n in report.outcomes.items()
            if problems or Outcome(outcome) is not Outcome.DONE or n < len(report.rows)
        ),
    ]


def _state(outcome: Outcome) -> str:
    """The class that colours an outcome."""
    if outcome in (Outcome.DONE, Outcome.DONE_NO_SPEECH):
        return "good"
    return "fair" if outcome is Outcome.DONE_WITH_WARNINGS else "bad"


def _distributions(rows: Sequence[NightRow]) -> Iterator[tuple[str, Markup]]:
    plots: list[tuple[str, list[float | None], list[float], str]] = [
        ("Confidence", [row.confidence for row in rows], [n / 20 for n in range(21)], ""),
        ("Words per minute", [row.words_a_minute for row in rows if row.words], [20.0 * n for n in range(16)], "/min"),
        ("Duration", [row.duration_s / 60 for row in rows], [10.0 * n for n in range(25)], "min"),
    ]
    if max((row.duration_s for row in rows), default=0.0) <= 20 * 60:  # a channel of short items
        plots[-1] = ("Duration", [row.duration_s / 60 for row in rows], [float(n) for n in range(21)], "min")
    for name, values, edges, unit in plots:
        known = [value for value in values if value is not None]
        if len(known) >= MIN_PLOTTED:
            yield name, distribution(known, edges, unit)


def _common_folder(uris: list[str]) -> str:
    """Return the longest folder, with its slash, that holds all `uris`; empty if there is none."""
    folder, slash, _ = posixpath.commonprefix(uris).rpartition("/")
    return folder + slash


def _file_links(row: NightRow, transcripts: str) -> Links:
    return Links(_link(row.text, transcripts), _link(row.transcript, transcripts) + "/")


def _link(uri: str, transcripts: str) -> str:
    """Return a link from the page to `uri`: relative below the transcripts, elsewhere the URI itself."""
    root = transcripts.rstrip("/") + "/"
    if not uri.startswith(root):
        return uri
    path = uri.removeprefix(root)
    return _TO_TRANSCRIPTS + (path if uri.startswith("file://") else quote(path))  # a file URI is quoted already
