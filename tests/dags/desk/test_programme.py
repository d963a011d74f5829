"""A programme's page in Chromium: play, edit, save, two editors, downloads, roles, hostile names, keys, phones."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.dags.desk.conftest import Desk
from tests.dags.desk.programmes import HOSTILE, MUSIC_MS, publish_programme

if TYPE_CHECKING:
    from playwright.sync_api import Page

Visit = Callable[..., "Page"]


def line(page: Page, number: int) -> Any:
    return page.locator(".turn p").nth(number)


def review(desk: Desk, programme: str, number: int) -> dict[str, Any]:
    return json.loads((desk.folder(programme) / "reviews" / f"{number:04d}.json").read_text())


def save(page: Page) -> None:
    page.keyboard.press("Control+s")
    expect(page.locator("#state.good")).to_contain_text("Saved as review")


def test_play(programme: str, visit: Visit) -> None:
    page = visit(programme)
    line(page, 1).locator("span").nth(2).click()
    start_s = page.evaluate("document.getElementById('audio').currentTime")
    assert start_s == pytest.approx(0.5 + 6 * 0.4 + 1.0 + 2 * 0.4)
    expect(page.locator(".said")).to_have_text("will")
    page.locator("#speed").select_option("0.5")  # a word lasts 0.8 s: long enough to be seen
    page.keyboard.press("Escape")
    expect(page.locator("#play")).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".said")).to_have_text("on")
    page.keyboard.press("Escape")
    assert page.evaluate("document.getElementById('audio').currentTime") > start_s
    pause = page.locator(".turn[data-pause]").get_attribute("data-pause")
    assert pause == f"Music or noise, 0:{(MUSIC_MS + 1_000) // 1000}"


def test_edit_undo_and_save(programme: str, visit: Visit, desk: Desk) -> None:
    page = visit(programme)
    page.locator(".doubt3").first.dblclick()
    page.keyboard.insert_text("news room")  # one input: typing is undone in bursts, by time
    expect(line(page, 0)).to_have_text("Good evening from our news room tonight.")
    page.keyboard.press("Control+z")
    expect(line(page, 0)).to_have_text("Good evening from our newsrum tonight.")
    page.keyboard.press("Control+Shift+z")
    expect(line(page, 0)).to_have_text("Good evening from our news room tonight.")
    save(page)
    words = review(desk, programme, 1)["segments"][0]["words"]
    assert [word[0] for word in words] == ["Good", "evening", "from", "our", "news", "room", "tonight."]
    assert words[3] == ["our", 1_700, 2_100]
    assert words[4][1:] == [2_100, 2_300]
    assert words[5][1:] == [2_300, 2_500]
    assert words[6] == ["tonight.", 2_500, 2_900]
    assert "news room" in (desk.folder(programme) / "reviews" / "0001" / f"{programme}.txt").read_text()
    assert "newsrum" in (desk.folder(programme) / f"{programme}.txt").read_text(), "the machine's words stay"


def test_turns_and_speakers(programme: str, visit: Visit, desk: Desk) -> None:
    page = visit(programme)
    page.locator("#speakers input").nth(1).fill("Ana Pérez")
    page.keyboard.press("Enter")
    expect(page.locator(".turn").nth(1).locator(".speaker")).to_have_text("Ana Pérez")
    page.locator("#speakers li").nth(2).locator("select").select_option(label="Ana Pérez")
    expect(page.locator(".turn").nth(3).locator(".speaker")).to_have_text("Ana Pérez")
    page.locator(".turn").nth(2).locator(".speaker").click()
    page.locator("#turn-new").fill("Bo")
    page.keyboard.press("Enter")
    expect(page.locator(".turn").nth(2).locator(".speaker")).to_have_text("Bo")
    line(page, 0).locator("span").nth(2).click()
    expect(page.locator(".said")).to_be_visible()
    page.keyboard.press("Home")
    for _ in range(len("Good evening")):
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(40)  # as a held key repeats
    page.keyboard.press("Enter")
    expect(line(page, 0)).to_have_text("Good evening")
    expect(line(page, 1)).to_have_text("from our newsrum tonight.")
    save(page)
    saved = review(desk, programme, 1)
    assert [speaker["name"] for speaker in saved["speakers"]] == [None, "Ana Pérez", "Bo"]
    names = {speaker["id"]: speaker["name"] for speaker in saved["speakers"]}
    assert [names[segment["speaker"]] for segment in saved["segments"]] == [None, None, "Ana Pérez", "Bo", "Ana Pérez"]
    page.reload()
    expect(line(page, 1)).to_have_text("from our newsrum tonight.")


def test_keyboard_only(programme: str, visit: Visit, desk: Desk) -> None:
    page = visit(programme)
    page.keyboard.press("Alt+h")
    expect(page.locator("#help")).to_be_visible()
    page.keyboard.press("Enter")
    page.keyboard.press("Alt+n")
    page.keyboard.press("Control+Shift+ArrowRight")
    page.keyboard.type("newsroom ")
    expect(line(page, 0)).to_have_text("Good evening from our newsroom tonight.")
    page.keyboard.press("Alt+g")
    page.keyboard.press("Alt+r")
    page.keyboard.type("Ana")
    page.keyboard.press("Enter")
    expect(page.locator(".turn").nth(1).locator(".speaker")).to_have_text("Ana")
    page.keyboard.press("Control+s")
    expect(page.locator("#state.good")).to_contain_text("Saved")
    assert review(desk, programme, 1)["speakers"][1]["name"] == "Ana"


def test_a_draft_survives_a_closed_tab(programme: str, visit: Visit) -> None:
    page = visit(programme)
    line(page, 1).locator("span").last.click()
    page.keyboard.press("End")
    page.keyboard.type(" At last.")
    page.close()
    again = page.context.new_page()
    again.goto(page.url)
    expect(line(again, 1)).to_have_text("The bridge will open on Friday. At last.")
    expect(again.locator("#notice")).to_contain_text("Your unsaved changes")
    save(again)
    again.reload()
    expect(line(again, 1)).to_have_text("The bridge will open on Friday. At last.")
    expect(again.locator("#notice")).to_be_hidden()


def test_two_editors(programme: str, visit: Visit, desk: Desk) -> None:
    """Both change one word; each also changes another. The second chooses, and nothing else of either is lost."""
    ada, bo = visit(programme, "ada"), visit(programme, "bo")
    for page, typed, number, own in ((ada, "newsroom", 1, "Monday."), (bo, "studio", 3, "south.")):
        page.locator(".doubt3").first.dblclick()
        page.keyboard.type(typed)
        line(page, number).locator("span").last.dblclick()
        page.keyboard.type(own)
        expect(line(page, number)).to_contain_text(own)
    save(ada)
    bo.keyboard.press("Control+s")
    dialog = bo.locator("#merge-dialog")
    expect(dialog).to_contain_text("ada saved review 1")
    expect(dialog.locator("li")).to_have_count(1)
    expect(dialog.locator("li")).to_contain_text("newsroom")
    dialog.get_by_label("ada").check()
    dialog.get_by_text("Put together and save").click()
    expect(bo.locator("#state.good")).to_contain_text("Saved as review 2")
    saved = review(desk, programme, 2)
    assert saved["based_on"]["review"] == 1
    assert saved["author"] == "bo"
    text = " ".join(word[0] for segment in saved["segments"] for word in segment["words"])
    assert "our newsroom tonight." in text
    assert "Monday." in text
    assert "south." in text


def test_only_words_near_the_screen_are_elements(visit: Visit, desk: Desk) -> None:
    """A long programme: where it is plain text it is scrolled to, selected and edited as everywhere."""
    said = [f"Turn {number} says these words one after another and is? done." for number in range(300)]
    publish_programme(desk.transcripts, "long", [(f"S{n % 2}", text) for n, text in enumerate(said)], sound=False)
    page, n_words = visit("long"), sum(len(text.split()) for text in said)
    words, last = page.locator(".turn p span"), line(page, 299)
    expect(line(page, 0).locator(".doubt3")).to_have_text("is")
    assert 0 < words.count() < n_words / 3
    expect(last).to_have_text("Turn 299 says these words one after another and is done.")
    line(page, 0).locator("span").nth(2).click()
    page.keyboard.press("Home")
    page.keyboard.press("Control+Shift+End")
    page.keyboard.press("Shift+ArrowLeft")
    expect(last.locator(".doubt3")).to_have_text("is")
    expect(line(page, 0).locator("span")).to_have_count(0)
    assert page.evaluate("getSelection().toString().replaceAll(/\\s+/g, ' ').endsWith('is done')")
    page.keyboard.press("Control+End")
    page.keyboard.type(" Really.")
    expect(last).to_have_text("Turn 299 says these words one after another and is done. Really.")
    page.keyboard.press("Control+Home")
    expect(line(page, 0).locator(".doubt3")).to_have_text("is")
    page.keyboard.press("Control+z")
    expect(last).to_have_text("Turn 299 says these words one after another and is done.")
    assert words.count() < n_words / 3


def test_downloads(programme: str, visit: Visit) -> None:
    page = visit(programme)
    page.locator("#tab-files").click()
    with page.expect_download() as started:
        page.locator(".files a", has_text=".srt").first.click()
    assert started.value.suggested_filename == f"{programme}.srt"
    assert "newsrum" in started.value.path().read_text()
    line(page, 0).locator("span").first.dblclick()
    page.keyboard.type("Hello")
    save(page)
    expect(page.locator("#panel-files h2").first).to_have_text("Reviewed, review 1")
    assert page.locator(".files").first.locator("a").all_inner_texts() == [
        ".json", ".txt", ".speakers.txt", ".srt", ".vtt", ".ttml", ".stl", ".rttm", ".ctm",
    ]  # fmt: skip


def test_subtitles_name_the_limits_that_they_break(programme: str, visit: Visit) -> None:
    page = visit(programme)
    line(page, 1).locator("span").last.click()
    page.locator("#tab-subtitles").click()
    expect(page.locator("#cues")).to_contain_text("The bridge will open on Friday.")
    line(page, 1).locator("span").last.dblclick()
    page.keyboard.type("Friday after a very long and very fast list of many more words than anybody can read.")
    expect(page.locator("#cues .limit").first).to_contain_text("too fast to read")


def test_who_may_only_read(programme: str, visit: Visit) -> None:
    page = visit(programme, "vera")
    expect(page.locator(".badge")).to_have_text("Read only")
    assert not page.locator("#text").evaluate("node => node.isContentEditable")
    line(page, 0).locator("span").first.click()
    page.keyboard.type("x")
    expect(line(page, 0)).to_have_text("Good evening from our newsrum tonight.")
    assert page.locator("#save").count() == 0


def test_hostile_names_and_words_stay_text(visit: Visit) -> None:
    page = visit(HOSTILE)
    expect(page.locator("h1")).to_have_text(HOSTILE)
    expect(line(page, 0)).to_have_text("He said <script>alert(1)</script> and &lt;b&gt; \"quoted\" 'too'.")
    page.locator("#speakers input").first.fill("</option><b>Zoë</b>")
    page.keyboard.press("Enter")
    expect(page.locator(".speaker").first).to_have_text("</option><b>Zoë</b>")
    page.locator(".speaker").first.click()
    expect(page.locator("#turn-speakers")).to_have_text("</option><b>Zoë</b>")
    assert page.locator("main b, main script, main img").count() == 0


def test_on_a_phone(programme: str, visit: Visit) -> None:
    page = visit(programme, width=375)
    assert page.evaluate("document.documentElement.scrollWidth") == 375
    line(page, 1).locator("span").first.click()
    page.keyboard.press("Home")
    page.keyboard.type("Yes: ")
    expect(line(page, 1)).to_have_text("Yes: The bridge will open on Friday.")


def test_a_transcript_of_before_sound_was_kept(visit: Visit) -> None:
    page = visit("old")
    expect(page.locator("#player")).to_contain_text("published without its sound")
    expect(line(page, 1)).to_have_text("The bridge will open on Friday.")


def test_the_server_asks_who_it_is_and_where_from(programme: str, desk: Desk) -> None:
    import httpx

    draft = {"based_on": {"transcript_sha256": "0" * 64}, "speakers": [], "segments": []}
    url, own = desk.url(programme, "reviews"), {"Sec-Fetch-Site": "same-origin"}
    ada, vera = ({"_token": desk.server.tokens[name]} for name in ("ada", "vera"))
    with httpx.Client() as stranger:
        assert stranger.get(desk.url(programme, "document")).status_code == 401
        assert stranger.post(url, json=draft, headers=own).status_code == 401
    with httpx.Client(cookies=vera) as reader:
        assert reader.get(desk.url(programme, "document")).status_code == 200
        assert reader.post(url, json=draft, headers=own).status_code == 403
    with httpx.Client(cookies=ada) as editor:
        assert editor.post(url, json=draft, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
        assert editor.post(url, json=draft).status_code == 403
        assert editor.post(url, json=draft, headers={"Origin": "https://elsewhere.example"}).status_code == 403
        assert editor.post(url, data={"a": "b"}, headers=own).status_code == 415
        rejected = editor.post(url, json=draft, headers=own)
        assert rejected.status_code == 422
        assert "another transcript" in rejected.json()["detail"]
        policy = editor.get(desk.url(programme)).headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        part = editor.get(desk.url(programme, "sound"), headers={"Range": "bytes=4-7"})
        whole = editor.get(desk.url(programme, "sound"))
        assert (part.status_code, part.content) == (206, whole.content[4:8])
        assert part.headers["content-range"] == f"bytes 4-7/{len(whole.content)}"
        assert editor.get(desk.url(programme, "sound"), headers={"Range": "bytes=99999999-"}).status_code == 416
        assert editor.get(desk.url("no-such", "document")).status_code == 404
        assert editor.get(desk.url("old", "sound")).status_code == 404
    assert not (desk.folder(programme) / "reviews").exists()
