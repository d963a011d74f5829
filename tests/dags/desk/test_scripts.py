"""The page's modules without a page: the model of an edited text, and putting two versions together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dags.plugins.desk.static import ASSETS

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ORIGIN = "http://desk.test/"
MAKE = """
const {Model} = await import('./model.js'), {merge} = await import('./merge.js');
const model = (texts, language = 'en') => new Model({language, duration_ms: 9000, speakers: [{id: 'S1', name: null}],
  machine_sha256: 'ab', review: null, segments: texts.map((text, n) => ({speaker: 'S1', start_ms: 3000 * n,
    end_ms: 3000 * n + 2000, suspect: n > 0, words: text.split(' ').map((t, k) => [t, 3000 * n + 100 * k,
      3000 * n + 100 * k + 80, 0.5])}))});
const words = (m) => m.paragraphs.map((p) => p.words.map((w) => [w.t, w.s, w.e, w.n ?? false]));
const texts = (m) => m.paragraphs.map((p) => m.text(p));
const at = (m, n, offset) => ({id: m.paragraphs[n].id, offset});
"""


@pytest.fixture(scope="module")
def blank(browser: Browser) -> Iterator[Page]:
    """A page that can import the modules, without a server."""
    page = browser.new_page()
    page.set_default_timeout(60_000)

    def answer(route: Any) -> None:
        name = route.request.url.removeprefix(ORIGIN)
        if name:
            route.fulfill(path=Path(ASSETS, name), content_type="text/javascript")
        else:
            route.fulfill(body="<!doctype html>", content_type="text/html")

    page.route(f"{ORIGIN}**", answer)
    page.goto(ORIGIN)
    yield page
    page.close()


def run(page: Page, script: str) -> Any:
    return page.evaluate(f"async () => {{ {MAKE} {script} }}")


def test_untouched_words_keep_their_times(blank: Page) -> None:
    script = """const m = model(['good evening from here']);
        m.replace(at(m, 0, 5), at(m, 0, 12), 'night all'); return words(m)[0];"""
    assert run(blank, script) == [
        ["good", 0, 80, False],
        ["night", 100, 150, True],
        ["all", 150, 180, True],
        ["from", 200, 280, False],
        ["here", 300, 380, False],
    ]


def test_a_word_typed_again_as_it_was_gets_its_time_back(blank: Page) -> None:
    script = """const m = model(['good evening from']);
        m.replace(at(m, 0, 5), at(m, 0, 12), 'x', 'paste'); m.replace(at(m, 0, 5), at(m, 0, 6), 'evening', 'paste');
        return words(m)[0][1];"""
    assert run(blank, script) == ["evening", 100, 180, False]


def test_undo_and_redo(blank: Page) -> None:
    script = """const m = model(['one two']), seen = [];
        m.replace(at(m, 0, 0), at(m, 0, 3), 'a', 'paste'); m.split(at(m, 0, 2));
        for (const step of ['undo', 'undo', 'undo', 'redo', 'redo']) { m[step](); seen.push([texts(m), m.isChanged]); }
        return seen;"""
    assert run(blank, script) == [
        [["a two"], True],
        [["one two"], False],
        [["one two"], False],
        [["a two"], True],
        [["a", "two"], True],
    ]


def test_turns_are_joined_and_divided(blank: Page) -> None:
    script = """const m = model(['one two', 'three four']);
        m.replace(at(m, 0, 7), at(m, 1, 0), '', 'delete'); const joined = texts(m);
        m.split(at(m, 0, 10)); return [joined, texts(m)];"""
    assert run(blank, script) == [["one two three four"], ["one two th", "ree four"]]


def test_a_script_without_spaces_has_none(blank: Page) -> None:
    script = """const m = model(['今天 新闻'], 'zh'); m.replace(at(m, 0, 2), at(m, 0, 2), '的'); return texts(m);"""
    assert run(blank, script) == ["今天的新闻"]


def test_a_draft_has_no_times_for_new_words(blank: Page) -> None:
    script = """const m = model(['one two']); m.replace(at(m, 0, 0), at(m, 0, 3), 'a'); return m.draft().segments[0];"""
    expected = {"speaker": "S1", "start_ms": 0, "end_ms": 2000, "words": [["a", None, None], ["two", 100, 180]]}
    assert run(blank, script) == expected


def test_two_versions(blank: Page) -> None:
    script = """const m = model(['a b c d e']), base = m.state, of = (from, to, text) => {
          m.show(base, null); m.replace(at(m, 0, from), at(m, 0, to), text); return m.state; };
        const show = (parts) => parts.map((part) => Object.fromEntries(Object.entries(part).map(([side, tokens]) =>
          [side, tokens.map((token) => token.word.t).join(' ')])));
        return [show(merge(base, of(0, 1, 'A'), of(8, 9, 'E'))), show(merge(base, of(4, 5, 'X'), of(4, 5, 'Y'))),
          show(merge(base, of(4, 5, 'X'), of(4, 5, 'X')))];"""
    assert run(blank, script) == [
        [{"same": "A b c d E"}],
        [{"same": "a b"}, {"mine": "X", "theirs": "Y", "base": "c"}, {"same": "d e"}],
        [{"same": "a b X d e"}],
    ]
