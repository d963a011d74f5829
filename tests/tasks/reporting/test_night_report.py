from __future__ import annotations

import re
from datetime import date
from html import unescape
from html.parser import HTMLParser

import pytest

from tasks.contract import Outcome, Reason
from tasks.night.records import truncate
from tasks.night.steps.report import night_row
from tasks.reporting.night_report import MIN_PLOTTED, render_night_report, title
from tasks.reporting.records import NightReport, NightRow, Publication
from tasks.reporting.trend import Day, trend_charts

HOSTILE = '<script>alert("1")</script>&'


def report(*rows: NightRow) -> NightReport:
    return NightReport(
        night="2026-11-22",
        model="models:/acoustic-model/3",
        model_version="acoustic-model/3",
        news="2 new programmes",
        outcomes={"done": 1, "quarantined": 1},
        transcribed_before=0,
        quarantined_before=0,
        hours=1.0,
        words=9000,
        compute_s=150.0,
        cost=0.14,
        rows=rows,
    )


ROWS = (
    NightRow(
        programme=HOSTILE,
        media=f"s3://inbox/{HOSTILE}.mp4",
        outcome=Outcome.QUARANTINED,
        reason=Reason.NOT_MEDIA,
        detail=HOSTILE,
    ),
    night_row(
        Publication(
            programme="news",
            media="s3://inbox/news.mp4",
            outcome=Outcome.DONE,
            transcript="s3://transcripts/news/0123456789ab",
            duration_s=3725.0,
            words=9000,
            speech_s=3600.0,
            coverage=0.97,
            confidence=0.91,
            redecoded_s=12.0,
            cues=90,
            cues_beyond=31,
        ),
        rtfx=87.0,
    ).model_copy(update={"compute_s": 150.0, "cost": 0.14}),
)


def page(*rows: NightRow, transcripts: str = "s3://transcripts") -> str:
    return render_night_report(report(*rows), transcripts)


class Reader(HTMLParser):
    """Tags, links and cells of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_every_transcript_has_a_row_with_its_figures() -> None:
    read = Reader(page(*ROWS))
    assert read.tags.count("tr") == 2
    assert read.tags.count("td") == read.tags.count("th")
    assert {"1:02:05", "9,000", "150", "97 %", "12 s", "31 of 90", "0.91", "87×", "0.14"} <= set(read.text)
    assert "../../news/0123456789ab/news.txt" in read.links
    assert "../../news/0123456789ab/" in read.links


def test_problems_come_first_and_say_why() -> None:
    quarantined, done = ROWS
    warned = done.model_copy(
        update={"programme": "late", "outcome": Outcome.DONE_WITH_WARNINGS, "detail": "music", "speakers": 2}
    )
    mute = done.model_copy(update={"programme": "weather", "detail": "diarize failed", "speakers": None})
    fine = done.model_copy(update={"programme": "sport", "speakers": 2})
    shown = page(fine, warned, mute, quarantined)
    listed = shown.partition("Needs attention")[2].partition("</ul>")[0]
    assert re.findall(r"<strong>(.*?)</strong> (.*?)</div>", unescape(listed)) == [
        ("quarantined", f"not media: {HOSTILE}"),
        ("without speakers", "diarize failed"),
        ("done with warnings", "music"),
    ]
    assert "Needs attention" not in page(fine)


def test_a_long_address_does_not_widen_the_table() -> None:
    """The address is told once for all media, and a file that is named like its programme is not named twice."""
    inbox = "s3://station-archive-with-a-long-name/incoming/2026/11/22/"
    news = ROWS[1].model_copy(update={"media": f"{inbox}news.mp4"})
    other = ROWS[1].model_copy(update={"programme": "late", "media": f"{inbox}night/late.mp4"})
    read = Reader(page(news, other))
    assert inbox in read.text
    assert "night/late.mp4" in read.text
    assert not [text for text in read.text if "news.mp4" in text]


@pytest.mark.parametrize(
    ("night", "expected"),
    [
        ("2026-11-30-002226f8", "Night of 30 November 2026"),
        ("arrivals-2026-11-30T101500-002226f8", "Arrivals of 30 November 2026, 10:15"),
        ("002226f8", "Transcripts of 002226f8"),
        ("2026-19-39", "Transcripts of 2026-19-39"),
    ],
)
def test_a_report_is_titled_by_its_date(night: str, expected: str) -> None:
    assert title(night) == expected


def test_the_trend_shows_what_at_least_two_days_have() -> None:
    days = [
        Day(date(2026, 11, 28), hours=10.0, reviewed=0.5, error_rate=0.081, rtfx=80.0),
        Day(date(2026, 11, 29), hours=0.0),
        Day(date(2026, 11, 30), hours=12.5, reviewed=0.0, rtfx=90.0, compute_per_hour=0.02),
    ]
    charts = {chart.name: chart for chart in trend_charts(days)}
    assert {name: chart.latest for name, chart in charts.items()} == {
        "Hours": "12.50 h",
        "Reviewed": "0 %",
        "Speed, times real time": "90×",
    }
    assert charts["Speed, times real time"].chart.count("<circle") == 2, "a day without a value leaves a gap"
    assert "28 Nov: 50 %" in charts["Reviewed"].chart
    shown = render_night_report(report(*ROWS), "s3://transcripts", days=days)
    assert "The last 3 days" in shown
    assert "The last" not in page(*ROWS)


def test_distributions_need_a_handful_of_programmes() -> None:
    rows = [ROWS[1].model_copy(update={"confidence": 0.7 + n / 100}) for n in range(MIN_PLOTTED)]
    assert "Distributions" not in page(*rows[1:])
    shown = page(*rows)
    assert "0.7 to 0.75 : 5" in shown
    assert "median 150 /min" in shown


def test_names_and_details_cannot_write_html() -> None:
    read = Reader(page(*ROWS))
    assert "script" not in read.tags
    assert HOSTILE in "".join(read.text)


def test_the_page_needs_nothing_from_elsewhere() -> None:
    assert not [link for link in Reader(page(*ROWS)).links if link.startswith("http")]
    assert "@import" not in page(*ROWS)


@pytest.mark.parametrize(
    ("transcript", "transcripts", "link"),
    [
        ("s3://b/transcripts/a b#1/0123", "s3://b/transcripts", "../../a%20b%231/0123/"),
        ("file:///b/transcripts/a%20b%231/0123", "file:///b/transcripts", "../../a%20b%231/0123/"),
        ("s3://elsewhere/news/0123", "s3://b/transcripts", "s3://elsewhere/news/0123/"),
    ],
)
def test_links_lead_from_the_page_to_the_transcripts(transcript: str, transcripts: str, link: str) -> None:
    row = ROWS[1].model_copy(update={"transcript": transcript})
    assert link in Reader(page(row, transcripts=transcripts)).links


def test_columns_without_a_value_are_left_out() -> None:
    read = Reader(page(ROWS[1]))
    assert "Re-decoded" in read.text
    assert "Suspect" not in read.text
    assert "Compute time" not in read.text


def test_an_empty_night() -> None:
    read = Reader(page())
    assert "table" not in read.tags
    assert any("2 new programmes" in text for text in read.text)


def test_many_warnings_are_few_lines() -> None:
    assert truncate(["a", "b"]) == ("a", "b")
    brief = truncate([str(n) for n in range(37)])
    assert len(brief) == 11
    assert "27 more" in brief[-1]


@pytest.mark.parametrize(("language", "pace"), [("en", 60.0), ("", 60.0), ("zh-CN", None), ("th", None)])
def test_words_a_minute_where_there_are_words(language: str, pace: float | None) -> None:
    row = Publication(
        programme="news", media="s3://inbox/news.wav", outcome=Outcome.DONE, language=language, words=30, speech_s=30.0
    )
    assert night_row(row, None).words_a_minute == pace
