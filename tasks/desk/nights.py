"""The report of a night as the desk shows it: its programmes lead to their pages, and the last days stand beside it."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote

from tasks import storage
from tasks.contract import InputRejected, Reason
from tasks.desk.index.trend import last_days
from tasks.desk.places import Place
from tasks.reporting.night_report import Links, day_of, render_night_report
from tasks.reporting.records import NIGHTS, PAGE_NAME, REPORT_NAME, NightReport, NightRow
from tasks.storage.records import read_one

PROGRAMMES = "../../programmes/"
TRANSCRIPTS = "../../transcripts/"
_NIGHT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}")


def night_of(transcripts: str, page: str) -> str:
    """Return the night whose report is `page`, a URI; empty if it lies elsewhere than below `transcripts`."""
    folder = f"{transcripts}/{NIGHTS}/"
    night, _, name = page.removeprefix(folder).partition("/")
    return night if page.startswith(folder) and name == PAGE_NAME and _NIGHT.fullmatch(night) else ""


def night_page(transcripts: str, night: str, index: Path) -> str:
    """Render the report of a night, for a page two folders below the desk's root. `index`: folder of the search index.

    Raises:
        InputRejected: NOT_FOUND, or the report is damaged.
    """
    if not _NIGHT.fullmatch(night):
        raise InputRejected("no such night", reason=Reason.NOT_FOUND, subject=night, next_step="open it from its run")
    report = read_one(NightReport, storage.join(transcripts, NIGHTS, night, REPORT_NAME))
    day = day_of(night)

    def links_of(row: NightRow) -> Links:
        try:
            place = Place.of_folder(transcripts, row.transcript)
        except InputRejected:  # published elsewhere
            return Links(row.text, row.transcript)
        path = f"{quote(place.programme, safe='')}/{place.digits}/"
        return Links(PROGRAMMES + path, TRANSCRIPTS + path)

    return render_night_report(report, transcripts, links_of=links_of, days=last_days(index, day) if day else ())
