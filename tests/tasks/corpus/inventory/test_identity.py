"""Programme ids from paths: safe, readable if possible, and unique."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import storage
from tasks.corpus.inventory.identity import broadcast_date, programme_id, split_extension, stems_of_transcript

SAFE = re.compile(r"[A-Za-z0-9._-]{1,97}")

file_names = st.binary(min_size=1, max_size=60).filter(
    lambda b: b"/" not in b and b"\0" not in b and b not in (b".", b"..")
)


def stem_of(name: bytes) -> str:
    return storage.file_uri(Path("/corpus") / os.fsdecode(name)).removeprefix("file:///corpus/")


@pytest.mark.parametrize(
    ("path", "stem", "extension"),
    [
        ("a/b.MP4", "a/b", ".mp4"),
        ("a.b/c", "a.b/c", ""),
        ("a/.srt", "a/.srt", ""),
        ("a/cuts.jsonl.gz", "a/cuts", ".jsonl.gz"),
        ("a/b.en.srt", "a/b.en", ".srt"),
        ("a/b.tar.gz", "a/b", ".tar.gz"),
    ],
)
def test_extensions(path: str, stem: str, extension: str) -> None:
    assert split_extension(path) == (stem, extension)


@pytest.mark.parametrize(
    ("stem", "stems"),
    [
        ("a/news", ("a/news",)),
        ("a/news.en", ("a/news.en", "a/news")),
        ("a/news.en-GB", ("a/news.en-GB", "a/news")),
        ("a/news.de", ("a/news.de",)),
        ("a/news.mp4", ("a/news.mp4", "a/news")),
        ("a/news.eng", ("a/news.eng", "a/news")),
        ("a/news.English", ("a/news.English", "a/news")),
        ("a/news.en.SDH", ("a/news.en.SDH", "a/news.en", "a/news")),
        ("a/news.eng.cc", ("a/news.eng.cc", "a/news.eng", "a/news")),
        ("a/news.cc.en_US", ("a/news.cc.en_US", "a/news.cc", "a/news")),
        ("a/news.en.hi", ("a/news.en.hi", "a/news")),
        ("a/news.hi", ("a/news.hi",)),  # Hindi
        ("a/news.sdh", ("a/news.sdh", "a/news")),
        ("a/news.mp4.en", ("a/news.mp4.en", "a/news.mp4", "a/news")),
        ("a/news.en.forced", ("a/news.en.forced",)),
        ("a/news.forced.en", ("a/news.forced.en", "a/news.forced")),
        ("a/news.en-forced", ("a/news.en-forced",)),
        ("a/news.en.commentary", ("a/news.en.commentary",)),
        ("a/news.ger", ("a/news.ger",)),
        ("a/news.de.en", ("a/news.de.en", "a/news.de")),
        ("a.en/news", ("a.en/news",)),
        ("en", ("en",)),
    ],
)
def test_media_stems_of_a_transcript(stem: str, stems: tuple[str, ...]) -> None:
    assert stems_of_transcript(stem, "en") == stems


@pytest.mark.parametrize(
    ("language", "tag"), [("de-AT", "ger"), ("de", "deu"), ("fr", "fre"), ("fr", "fra"), ("hi", "hi")]
)
def test_languages_have_several_tags(language: str, tag: str) -> None:
    assert stems_of_transcript(f"news.{tag}", language)[-1] == "news"


def test_a_plain_path_is_its_own_id() -> None:
    assert programme_id("news/2026/evening_1", is_encoded=True) == "news.2026.evening_1"


def test_other_paths_keep_their_readable_part() -> None:
    assert re.fullmatch(r"news-Gunun-Ozeti-[0-9a-f]{16}", programme_id("news/Günün Özeti!", is_encoded=False))


@given(file_names, file_names)
def test_ids_are_safe_and_unique(one: bytes, other: bytes) -> None:
    names = [programme_id(stem_of(name), is_encoded=True) for name in (one, other)]
    assert all(SAFE.fullmatch(name) for name in names)
    assert (names[0] == names[1]) == (one == other)


@given(st.text(min_size=1, max_size=300))
def test_object_keys_are_safe_too(key: str) -> None:
    assert SAFE.fullmatch(programme_id(key, is_encoded=False))


@pytest.mark.parametrize(
    ("stem", "date"),
    [
        ("news/2026-03-01", "2026-03-01"),
        ("2026/20260301_late", "2026-03-01"),
        ("a_2026.03.01", "2026-03-01"),
        ("2026/03/01/news", "2026-03-01"),
        ("news_202603011800", "2026-03-01"),
        ("news_20260301180000", "2026-03-01"),
        ("01.03.2026_news", "2026-03-01"),
        ("news-120260301", ""),
        ("news_202603012500", ""),
        ("32.03.2026", ""),
        ("news-2026-13-01", ""),
        ("2026-0301", ""),
    ],
)
def test_dates(stem: str, date: str) -> None:
    assert broadcast_date(stem, is_encoded=False) == date
