"""The list of transcripts and the tab of a run, as a browser shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.dags.browser.conftest import HOSTILE, NIGHT, PHONE

if TYPE_CHECKING:
    from playwright.sync_api import Page


def names(page: Page) -> list[str]:
    return page.locator(".hits .title").all_inner_texts()


def test_programmes_are_listed_with_what_went_wrong(page: Page) -> None:
    page.goto("programmes/")
    assert set(names(page)) == {"2026-03-23_evening-news", "2026-03-24_weather", "2026-03-24_film", HOSTILE}
    film = page.locator(".hits li", has_text="film")
    assert "quarantined no such format" in film.inner_text()
    assert film.locator("a").count() == 0
    assert page.get_by_role("status").inner_text().startswith("4 programmes")


def test_words_said_are_found_and_shown(page: Page) -> None:
    page.goto("programmes/")
    page.get_by_role("searchbox").fill("SENOR")
    page.keyboard.press("Enter")
    page.wait_for_url("**/programmes/?q=SENOR*")
    assert names(page) == ["2026-03-24_weather"]
    assert page.locator("mark").inner_text() == "señor"
    assert "1 programme of 4" in page.get_by_role("status").inner_text()
    assert page.get_by_role("searchbox").input_value() == "SENOR"
    page.get_by_role("link", name="Clear").click()
    page.wait_for_url("**/programmes/")
    assert len(names(page)) == 4


def test_filters_narrow_the_list(page: Page) -> None:
    page.goto("programmes/")
    page.get_by_label("Status").select_option("quarantined")
    page.get_by_role("button", name="Search").click()
    page.wait_for_url("**status=quarantined**")
    assert names(page) == ["2026-03-24_film"]
    page.goto("programmes/?since=2026-03-23&until=2026-03-23")
    assert names(page) == ["2026-03-23_evening-news"]
    page.goto("programmes/?confidence=low")
    assert page.get_by_role("link", name="Show all 4 programmes").count() == 1
    page.goto("programmes/?reviewed=no&q=rain&scope=name")
    assert names(page) == []
    page.goto("programmes/?page=-3&since=yesterday&reviewed=perhaps&scope=page")
    assert len(names(page)) == 4, "what cannot be a value does not filter"


def test_a_programme_opens_and_leads_back(page: Page) -> None:
    page.goto("programmes/?q=weather")
    page.get_by_role("link", name="2026-03-24_weather").click()
    page.wait_for_url("**/programmes/2026-03-24_weather/*/")
    page.get_by_role("link", name="Transcripts").click()
    page.wait_for_url("**/programmes/")
    assert len(names(page)) == 4


def test_hostile_names_and_words_stay_text(page: Page) -> None:
    page.goto("programmes/?q=%22nothing+bold%22")
    page.goto("programmes/?q=bold")
    assert names(page) == [HOSTILE]
    assert "<b>" in page.locator(".excerpt").inner_text()
    assert page.locator(".hits img, .hits b").count() == 0
    page.get_by_role("link", name=HOSTILE).click()
    page.wait_for_url("**/programmes/%3Cimg*/*/")
    assert page.locator("h1").inner_text() == HOSTILE


def test_a_search_box_takes_anything(page: Page) -> None:
    for typed in ('"', "' OR 1=1 --", "said:*", "(", "AND NOT", "x" * 600, "\u0000"):
        page.goto("programmes/")
        page.get_by_role("searchbox").fill(typed)
        page.keyboard.press("Enter")
        page.wait_for_url("**/programmes/?q=*")
        assert page.get_by_role("status").count() == 1


def test_a_night_leads_from_problems_to_programmes(page: Page) -> None:
    page.goto(f"nights/{NIGHT}/")
    assert page.locator("h1").inner_text() == "Night of 24 March 2026"
    assert "quarantined not media: no such format" in page.locator(".problems").inner_text()
    assert page.locator("img").count() == 0
    page.locator(".rows").get_by_role("link", name="2026-03-24_weather").click()
    page.wait_for_url("**/programmes/2026-03-24_weather/*/")


def test_pages_fit_a_phone(page: Page) -> None:
    page.set_viewport_size(PHONE)
    for path in ("programmes/?q=rain", "programmes/", f"nights/{NIGHT}/", "report?dag_id=corpus_features&run_id=1"):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], path
