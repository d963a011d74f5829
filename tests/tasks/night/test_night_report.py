from __future__ import annotations

from html.parser import HTMLParser

import pytest

from tasks.contract import Outcome, Reason
from tasks.night.night_report import render_night_report
from tasks.night.records import NightReport, NightRow, Publication, truncate
from tasks.night.steps.report import night_row

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


def test_every_programme_has_a_row_with_its_figures() -> None:
    read = Reader(page(*ROWS))
    assert read.tags.count("tr") == 1 + len(ROWS)
    assert read.tags.count("td") == len(ROWS) * read.tags.count("th")
    assert {"1:02:05", "9,000", "150", "97 %", "12 s", "31 of 90", "0.91", "87", "0.14"} <= set(read.text)
    assert "../../news/0123456789ab/news.txt" in read.links
    assert "../../news/0123456789ab/" in read.links


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
