"""The search index: what is found, in which order, and that it is made again and kept up to date from storage."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tasks import storage
from tasks.command import main
from tasks.contract import Misconfigured
from tasks.desk.index import Query, Reviewed, add_review, filters, rebuild, refresh, search
from tasks.desk.programmes import load_programme
from tasks.desk.reviews import save_review
from tasks.publishing.transcripts import folder_of, publish_transcript
from tasks.transcripts.reviews.draft import DraftSpeaker
from tests.tasks.desk.conftest import KEY, PROGRAMME
from tests.tasks.desk.drafts import draft_of
from tests.tasks.transcripts.builders import speak, transcript

PLACE = f"{PROGRAMME}/{KEY[:12]}"


def publish(transcripts: str, programme: str, text: str, key: str = "cd34" * 16, sha256: str = "cd" * 32) -> str:
    """Publish a transcript. Return its folder."""
    words = speak(text, "S1")
    publish_transcript(transcript(words, duration_ms=60_000, sha256=sha256), programme, key, transcripts)
    return folder_of(transcripts, programme, key)


def night(transcripts: str, name: str, *rows: dict[str, Any]) -> None:
    """Write a night's index.jsonl."""
    data = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    storage.write(storage.join(transcripts, "_nights", name, "index.jsonl"), data)


def row(programme: str, transcript: str = "", outcome: str = "done", **fields: Any) -> dict[str, Any]:
    return {"programme": programme, "media": f"file:///inbox/{programme}.mp4", "outcome": outcome,
            "transcript": transcript, "unknown": 1} | fields  # fmt: skip


@pytest.fixture
def folder(transcripts: str, tmp_path: Path) -> Path:
    """An index of two nights: the fixture's programme, then three others."""
    night(transcripts, "2026-03-24-aa", row(PROGRAMME, folder_of(transcripts, PROGRAMME, KEY)))
    weather = publish(transcripts, "2026-03-24_weather", "Rain over Galicia, señor. Rain again tomorrow.")
    night(
        transcripts,
        "2026-03-25-bb",
        row("2026-03-24_weather", weather, "done_with_warnings", detail="much is doubtful"),
        row("2026-03-24_film", outcome="quarantined", reason="not_media", detail="no such format"),
    )
    assert rebuild(transcripts, tmp_path / "index") == 3
    return tmp_path / "index"


def found(folder: Path, **query: Any) -> list[str]:
    return [hit.programme for hit in search(folder, Query(**query)).hits]


def test_programmes_come_newest_first_failed_ones_too(folder: Path) -> None:
    assert found(folder) == ["2026-03-24_film", "2026-03-24_weather", PROGRAMME]
    film, weather, _ = search(folder, Query()).hits
    assert (film.key, film.status, film.reason) == (None, "quarantined", "not_media")
    assert (weather.status, weather.words, weather.confidence, weather.day) == (
        "done_with_warnings",
        7,
        0.9,
        "2026-03-24",
    )


@pytest.mark.parametrize(
    ("query", "programmes"),
    [
        ({"words": "rain"}, ["2026-03-24_weather"]),
        ({"words": "SENOR"}, ["2026-03-24_weather"]),
        ({"words": '"over galicia"'}, ["2026-03-24_weather"]),
        ({"words": '"galicia over"'}, []),
        ({"words": "newsr"}, [PROGRAMME]),
        ({"words": "ra"}, []),
        ({"anywhere": "weather"}, ["2026-03-24_weather"]),
        ({"anywhere": "newsroom evening"}, [PROGRAMME]),
        ({"name": "rain"}, []),
        ({"first_day": "2026-03-24"}, ["2026-03-24_film", "2026-03-24_weather"]),
        ({"last_day": "2026-03-23"}, [PROGRAMME]),
        ({"status": "quarantined"}, ["2026-03-24_film"]),
        ({"model": "3"}, ["2026-03-24_weather", PROGRAMME]),
        ({"model": "4"}, []),
        ({"min_confidence": 0.95}, []),
        ({"max_confidence": 0.95, "words": "good"}, [PROGRAMME]),
        ({"reviewed": Reviewed.YES}, []),
        ({"reviewed": Reviewed.NO}, ["2026-03-24_weather", PROGRAMME]),
        ({"page_size": 1, "page": 2}, ["2026-03-24_weather"]),
    ],
)
def test_a_query_finds(folder: Path, query: dict[str, Any], programmes: list[str]) -> None:
    assert found(folder, **query) == programmes


@pytest.mark.parametrize(
    "text", ['"', "'; DROP TABLE programmes; --", "a AND", "NEAR(", "words:", "*", "x" * 10_000, "\x00", "(((", 'a"b']
)
def test_what_a_person_types_is_never_an_operator(folder: Path, text: str) -> None:
    search(folder, Query(anywhere=text, words=text, name=text, speaker=text, model=text))


def test_an_excerpt_shows_where_it_was_said(folder: Path) -> None:
    (hit,) = search(folder, Query(words="Señ")).hits
    assert hit.excerpt is not None
    assert (hit.excerpt.before, hit.excerpt.match, hit.excerpt.after) == (
        "Rain over Galicia, ",
        "señ",
        "or. Rain again tomorrow.",
    )


@pytest.mark.parametrize(
    ("language", "text", "queries", "excerpt"),
    [
        (
            "zh",
            "今天 的 新闻 iPhone 发布",
            ["新闻", "闻", "的新", '"今天的新闻"', "iphone", "新闻 发布"],
            "今天的|新闻|iPhone发布",
        ),
        ("ja", "東京 の ニュース です", ["東京", "ニュース", "東京のニュ", '"ニュース です"'], ""),
        ("th", "สวัสดี ครับ ข่าว วันนี้", ["สวัสดี", "ข่าว", "ครับข่าว"], ""),
    ],
)
def test_words_are_found_in_scripts_without_spaces(
    transcripts: str, tmp_path: Path, language: str, text: str, queries: list[str], excerpt: str
) -> None:
    words = speak(text, "S1")
    document = transcript(words, duration_ms=60_000, sha256="ef" * 32).model_copy(update={"language": language})
    publish_transcript(document, "asia", "ef56" * 16, transcripts)
    rebuild(transcripts, tmp_path)
    for query in queries:
        (hit,) = search(tmp_path, Query(words=query)).hits
        assert hit.programme == "asia"
        assert hit.excerpt is not None, query
    for query in ("聞新", "京東", "新天", "สวสด", "ข่าวครับ"):
        assert found(tmp_path, words=query) == []
    if excerpt:
        first = search(tmp_path, Query(words=queries[0])).hits[0].excerpt
        assert first is not None
        assert f"{first.before}|{first.match}|{first.after}" == excerpt


def test_a_review_is_found_by_its_words_and_speakers(transcripts: str, folder: Path) -> None:
    named = (DraftSpeaker(id="S1", name="Ana Pérez"), DraftSpeaker(id="S2"))
    draft = draft_of(load_programme(transcripts, PLACE), {"their": "our"}, speakers=named)
    saved = save_review(transcripts, PLACE, draft, "ana")
    add_review(transcripts, folder, saved.line)
    assert found(folder, words="their") == []
    assert found(folder, words="our", speaker="perez") == [PROGRAMME]
    (hit,) = search(folder, Query(reviewed=Reviewed.YES)).hits
    assert (hit.review, hit.reviewed_by, hit.error_rate) == (1, "ana", 0.1)
    assert found(folder, reviewed=Reviewed.FINISHED) == []
    assert found(folder)[-1] == PROGRAMME, "its place in the list stays"


def test_a_refresh_reads_what_is_new(transcripts: str, folder: Path) -> None:
    assert refresh(transcripts, folder) == 0
    save_review(transcripts, PLACE, draft_of(load_programme(transcripts, PLACE), {"their": "our"}), "ana")
    late = publish(transcripts, "2026-03-24_film", "The end.", key="ef56" * 16, sha256="ef" * 32)
    night(transcripts, "2026-03-26-cc", row("2026-03-24_film", late))
    assert refresh(transcripts, folder) == 2
    assert found(folder, words="our") == [PROGRAMME]
    assert found(folder) == ["2026-03-24_film", "2026-03-24_weather", PROGRAMME]
    assert found(folder, status="quarantined") == [], "it was transcribed since"
    assert refresh(transcripts, folder) == 0


def test_a_later_model_does_not_hide_a_person_s_words(transcripts: str, folder: Path) -> None:
    save_review(transcripts, PLACE, draft_of(load_programme(transcripts, PLACE), {"their": "our"}), "ana")
    words = "Good evening from there newsroom."
    again = publish(transcripts, PROGRAMME, words, key="ff00" * 16, sha256="ab" * 32)
    night(transcripts, "2026-03-27-dd", row(PROGRAMME, again))
    refresh(transcripts, folder)
    assert found(folder, name="news", words="there") == []
    (hit,) = search(folder, Query(name="evening")).hits
    assert (hit.key, hit.review) == (PLACE, 1)
    assert [other.key for other in load_programme(transcripts, PLACE).other_models] == [f"{PROGRAMME}/{'ff00' * 3}"]
    before = search(folder, Query()).hits
    rebuild(transcripts, folder)
    assert search(folder, Query()).hits == before


def test_a_rebuild_is_read_when_it_is_complete(transcripts: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("tasks.desk.index.building._add_failed", broken)
        with pytest.raises(OSError, match="the disk is full"):
            rebuild(transcripts, folder)
    assert len(found(folder)) == 3
    assert len(list(folder.glob("index-*.sqlite"))) == 1


def test_an_index_of_another_version_is_made_again(transcripts: str, folder: Path) -> None:
    (path,) = folder.glob("index-*.sqlite")
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 0")
    connection.close()
    with pytest.raises(Misconfigured, match="index-transcripts"):
        search(folder, Query())
    assert refresh(transcripts, folder) == 3
    assert filters(folder).statuses == ("done", "done_with_warnings", "quarantined")


def test_the_command_makes_the_index(transcripts: str, tmp_path: Path) -> None:
    folder = tmp_path / "made"
    assert main("tasks", ["index-transcripts", f"--transcripts={transcripts}", f"--index={folder}"]) == 0
    assert found(folder) == [PROGRAMME]
