"""The desk in a browser: one server with Airflow's own login, one browser, and a page for each test.

Without Chromium the tests skip: `apt-get install chromium`, or name another browser in `AIRSCRIPT_CHROMIUM`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from benchmarks.support.desk_server import DeskServer, serve_desk
from tests.dags.desk.programmes import HOSTILE, KEY, NEWS, SCRIPTS, publish_programme

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A server with two programmes that no test changes."""
    transcripts = tmp_path_factory.mktemp("desk") / "transcripts"
    publish_programme(transcripts, HOSTILE, SCRIPTS)
    publish_programme(transcripts, "old", NEWS, sound=False)
    inbox = transcripts.parent / "inbox"
    inbox.mkdir()
    index = transcripts.parent / "index"
    with serve_desk(transcripts, os.environ | {"AIRSCRIPT_INBOX": str(inbox), "AIRSCRIPT_INDEX": str(index)}) as server:
        yield Desk(server, transcripts, inbox, index)


class Desk:
    """A running desk, its transcripts, the inbox and the search index."""

    def __init__(self, server: DeskServer, transcripts: Path, inbox: Path, index: Path) -> None:
        self.server, self.transcripts, self.inbox, self.index = server, transcripts, inbox, index

    def url(self, programme: str, path: str = "") -> str:
        return f"{self.server.url}programmes/{quote(programme, safe='')}/{KEY[:12]}/{path}"

    def folder(self, programme: str) -> Path:
        """The folder of a programme with a plain name."""
        return self.transcripts / programme / KEY[:12]


@pytest.fixture
def programme(desk: Desk, request: pytest.FixtureRequest) -> str:
    """A programme of the test's own."""
    name = request.node.name.removeprefix("test_")[:60]
    publish_programme(desk.transcripts, name, NEWS)
    return name


@pytest.fixture
def visit(desk: Desk, browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open a programme as a user in a browser of its own. No page may break its policy or raise an error."""
    contexts, problems = [], []

    def open_programme(name: str, user: str = "ada", width: int = 1280, ready: bool = True) -> Page:
        context = browser.new_context(viewport={"width": width, "height": 800})
        contexts.append(context)
        context.set_default_timeout(60_000)
        context.add_cookies([desk.server.cookie(user)])
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("dialog", lambda dialog: problems.append(f"dialog: {dialog.message}"))
        page.on(
            "console", lambda message: problems.append(message.text) if "Content Security" in message.text else None
        )
        page.goto(desk.url(name))
        if ready:
            page.locator("html[data-ready]").wait_for(state="attached")
        return page

    yield open_programme
    for context in contexts:
        context.close()
    assert not problems
