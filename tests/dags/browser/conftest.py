"""A browser, and the desk on a small station."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tasks import storage
from tasks.contract import Outcome, Reason
from tasks.desk.index import rebuild
from tasks.publishing.transcripts import folder_of, publish_transcript
from tasks.reporting.night_report import render_night_report
from tasks.reporting.records import NightReport, NightRow
from tasks.storage.records import to_lines
from tests.tasks.transcripts.builders import speak, transcript

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHECKOUT = Path(__file__).parents[3]
PHONE = {"width": 375, "height": 720}
NIGHT = "2026-03-24-0123abcd"
HOSTILE = '<img src=x onerror="alert(1)">&'
START_TIMEOUT_S = 120.0


@pytest.fixture(scope="session")
def station(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Storage with a night of four programmes, one of them with a hostile name, and its search index."""
    home = tmp_path_factory.mktemp("station")
    prefix = storage.file_uri(home / "storage" / "transcripts")
    said = {
        "2026-03-23_evening-news": "Good evening from their newsroom. The minister resigned.",
        "2026-03-24_weather": "Rain over Galicia, señor. Rain again tomorrow.",
        HOSTILE: "Nothing <b>bold</b> is said here.",
    }
    rows = []
    for number, (name, text) in enumerate(said.items()):
        key = f"{number + 10:x}{number + 10:x}" * 32
        words = speak(text, "S1")
        publish_transcript(transcript(words, duration_ms=60_000, sha256=key), name, key, prefix)
        folder = folder_of(prefix, name, key)
        rows.append(
            NightRow(
                programme=name,
                media=f"file:///inbox/{name}.mp4",
                outcome=Outcome.DONE,
                transcript=folder,
                duration_s=60.0,
                words=len(words),
                speakers=1,
                confidence=0.9,
            )
        )
    rows.append(
        NightRow(
            programme="2026-03-24_film",
            media="file:///inbox/2026-03-24_film.mp4",
            outcome=Outcome.QUARANTINED,
            reason=Reason.NOT_MEDIA,
            detail="no such format",
        )
    )
    report = NightReport(
        night=NIGHT,
        model="m",
        model_version="acoustic-model/3",
        news="4 new programmes",
        outcomes={"done": 3, "quarantined": 1},
        transcribed_before=0,
        quarantined_before=0,
        hours=0.05,
        words=20,
        compute_s=3.0,
        rows=tuple(rows),
    )
    folder = storage.join(prefix, "_nights", NIGHT)
    storage.write(storage.join(folder, "index.jsonl"), to_lines(rows))
    storage.write(storage.join(folder, "report.json"), report.model_dump_json().encode())
    storage.write(storage.join(folder, "report.html"), render_night_report(report, prefix).encode())
    rebuild(prefix, home / "index")
    return home


@pytest.fixture(scope="module")
def desk(station: Path) -> Iterator[str]:
    """URL of the desk on the station, in a process of its own: its settings are those of its start."""
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRSCRIPT_")}
    environment = kept | {"AIRSCRIPT_HOME": str(station), "PYTHONPATH": str(CHECKOUT)}
    log = station / "server.log"
    with log.open("wb") as sink:
        server = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("serve.py")), str(port)],
            env=environment,
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
    url = f"http://127.0.0.1:{port}/airscript/"
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not _answers(f"{url}programmes/"):
            if server.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the desk does not start:\n{log.read_text()}")
            time.sleep(0.2)
        yield url
    finally:
        server.kill()
        server.wait()


@pytest.fixture
def page(browser: Browser, desk: str) -> Iterator[Page]:
    """A page that fails the test on a script error, a blocked resource or a dialog."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, base_url=desk)
    context.set_default_timeout(60_000)
    page = context.new_page()
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
    page.on("dialog", lambda dialog: (troubles.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    yield page
    context.close()
    assert troubles == []


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=30).status_code == 200
    except httpx.TransportError:
        return False
