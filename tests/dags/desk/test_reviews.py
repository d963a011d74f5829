"""The page of what reviews say: error rates, and accepting a word for the vocabulary."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tasks import storage
from tasks.desk.index import latest_lines, refresh
from tasks.desk.programmes import load_programme
from tasks.desk.reviews import save_review
from tasks.desk.vocabulary import read_channel_vocabulary
from tests.dags.desk.conftest import Desk
from tests.dags.desk.programmes import KEY
from tests.tasks.desk.drafts import draft_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser

HOSTILE_WORD = "<b>Kæthe</b>"


@pytest.fixture
def reviewed(desk: Desk, programme: str) -> str:
    """A programme in which somebody put two words right and checked all others."""
    transcripts, key = storage.file_uri(desk.transcripts), f"{programme}/{KEY[:12]}"
    draft = draft_of(
        load_programme(transcripts, key), {"newsrum": "Broadcastville", "tonight.": HOSTILE_WORD}, finished=True
    )
    save_review(transcripts, key, draft, author="ada")
    deadline = time.monotonic() + 60
    while key not in {line.key for line in latest_lines(desk.index)}:  # the server may be at it
        assert time.monotonic() < deadline
        refresh(transcripts, desk.index)
    return programme


def test_error_rates_and_a_word_that_is_accepted(reviewed: str, desk: Desk, browser: Browser) -> None:
    context = browser.new_context(viewport={"width": 375, "height": 720})
    context.set_default_timeout(60_000)
    context.add_cookies([desk.server.cookie("ada")])
    page = context.new_page()
    page.goto(f"{desk.server.url}reviews/")
    row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="S1", exact=True))
    expect(row.get_by_role("cell").last).to_contain_text("%")
    word = page.locator(".words li").filter(has_text="Broadcastville")
    expect(word.get_by_role("link", name=reviewed)).to_have_attribute("href", f"../programmes/{reviewed}/{KEY[:12]}/")
    expect(page.locator(".words b")).to_have_count(0)
    word.get_by_role("button", name="Accept").click()
    expect(word.get_by_role("button", name="Accepted")).to_be_disabled()
    assert "Broadcastville" in " ".join(read_channel_vocabulary(storage.file_uri(desk.inbox)))
    page.reload()
    expect(page.locator(".words strong", has_text="Broadcastville")).to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    context.close()


def test_who_may_only_read_accepts_no_word(reviewed: str, desk: Desk, browser: Browser) -> None:
    context = browser.new_context()
    context.set_default_timeout(60_000)
    context.add_cookies([desk.server.cookie("vera")])
    page = context.new_page()
    page.goto(f"{desk.server.url}reviews/")
    expect(page.get_by_role("heading", name="What reviews say")).to_be_visible()
    expect(page.get_by_role("button", name="Accept")).to_have_count(0)
    answer = context.request.post(
        f"{desk.server.url}reviews/vocabulary", data={"phrase": "Mallory"}, headers={"Sec-Fetch-Site": "same-origin"}
    )
    assert answer.status == 403
    context.close()
