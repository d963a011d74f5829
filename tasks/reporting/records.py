"""Records of a night's outcome: rows of `index.jsonl` and `report.json`, which other systems read."""

from __future__ import annotations

from pydantic import Field

from tasks.contract import Frozen, Outcome, Reason

NIGHTS = "_nights"
"""Folder of the reports: `<transcripts>/_nights/<night>/`."""
PAGE_NAME, INDEX_NAME, REPORT_NAME = "report.html", "index.jsonl", "report.json"


class Publication(Frozen):
    """One programme's final outcome: a row of the night's report and of its `index.jsonl`."""

    programme: str
    media: str
    outcome: Outcome
    reason: Reason | None = None
    detail: str = ""
    transcript: str = Field(default="", description="URI of the folder with every format, empty if there is none")
    is_copy: bool = Field(default=False, description="shares the transcript of a file with equal bytes")
    key: str = ""
    model: str = ""
    duration_s: float = 0.0
    language: str = ""
    speakers: int | None = Field(default=None, description="none: not diarized")
    words: int = 0
    speech_s: float = 0.0
    coverage: float | None = Field(default=None, description="share of speech that is covered by words, if any")
    confidence: float | None = Field(default=None, description="mean over the words")
    suspect_s: float = 0.0
    redecoded_s: float = Field(default=0.0, description="speech that was decoded again")
    cues: int = Field(default=0, description="subtitles")
    cues_beyond: int = Field(default=0, description="subtitles that break a limit of their rules")


class NightRow(Publication):
    """One programme of the report. `index.jsonl` has one a line."""

    words_a_minute: float | None = Field(
        default=None, description="words per minute of speech, none for scripts without spaces between words"
    )
    rtfx: float | None = Field(default=None, description="audio seconds recognised per second, over its batch")
    text: str = Field(default="", description="URI of the plain text")
    compute_s: float | None = Field(default=None, description="its share of its batch's step time")
    cost: float | None = Field(default=None, description="share of its batch's cost in money, if prices are given")


class NightReport(Frozen):
    """`report.json`."""

    schema_version: int = 1
    night: str
    model: str
    model_version: str
    news: str
    outcomes: dict[str, int] = Field(description="programmes per outcome")
    transcribed_before: int
    quarantined_before: int
    hours: float = Field(description="duration of the programmes that are done, without copies")
    words: int = Field(description="words of these programmes")
    compute_s: float = Field(description="time of prepare, diarize and recognise, over all completed batches")
    cost: float | None = None
    rows: tuple[NightRow, ...]
