"""The report and the card: they hold what they should, and nothing that has to be fetched."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tasks import storage
from tasks.corpus.assembly.statistics import source_of
from tasks.corpus.report.spectrogram import spectrogram
from tasks.dataset.manifest import reference, resolve
from tasks.step import load_result, output_uri


class Reader(HTMLParser):
    """Tags, links and rows of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.rows: list[list[str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "data", "poster")]
        if tag == "tr":
            self.rows.append([])
        if tag == "td":
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def test_a_dataset_comes_with_a_card_and_a_page_of_its_own(folder, captions) -> None:
    for number in range(4):
        folder.add(f"news/<b>&{number}", seed=number)
    storage.write(storage.join(folder.media, "<i>broken.wav"), b"no audio")
    storage.write(storage.join(folder.media, "<i>broken.srt"), captions(4.0, "<u>evening"))
    storage.write(storage.join(folder.media, "news/<b>&0.srt"), captions(12.0, "1987 <u>"))
    assembled = folder.run()
    result = load_result(assembled.result)
    page = storage.read_bytes(output_uri(assembled.result, result, "report.html")).decode()
    read = Reader(page)
    assert {"svg", "img", "audio", "table"} <= read.tags
    assert all(link.startswith("data:") for link in read.links)
    assert not re.search("https?:", page)
    assert assembled.labels["version"] in page
    assert "news-b" in page
    assert "<b>" not in page
    assert "<i>" not in page
    assert "<u>" not in page
    # What was dropped, why, how much, and an example of it.
    for shown in ("not media", "alphabet", "not a known audio or video format", "contains &#39;1789&#39;"):
        assert shown in page, shown
    (row,) = [row for row in read.rows if row[1:3] == ["alphabet", "prepare-corpus"]]
    assert row[3] == "4"
    assert re.fullmatch(r"0\.\d+", row[4])

    card = storage.read_bytes(output_uri(assembled.result, result, "README.md")).decode()
    assert assembled.labels["version"] in card
    assert re.search(rf"\| train \| 2 \| {assembled.counts['utterances_train']} \|", card)
    assert storage.exists(assembled.labels["report"])


@given(st.integers(1, 40), st.integers(1, 20), st.floats(-5, 5))
def test_spectrograms_are_images_of_the_features(n_frames: int, n_mels: int, level: float) -> None:
    from PIL import Image

    features = np.full((n_frames, n_mels), level, np.float16)
    features[-1, 0] += 3  # the last frame's lowest mel: bottom right
    image = Image.open(io.BytesIO(base64.b64decode(spectrogram(features).partition(",")[2])))
    assert image.size == (n_frames, n_mels)
    pixels = np.asarray(image.convert("L")).astype(int)
    assert pixels[-1, -1] == pixels.max()


def test_sources() -> None:
    assert source_of("news.2026-03-01") == "news"
    assert source_of("evening-news-2026-03-01") == "evening-news"
    assert source_of("2026-03-01") == "2026-03-01"


@given(
    st.sampled_from(["file:///a/b/c", "s3://bucket/a/b", "s3://other/a", "file:///a"]),
    st.sampled_from(["file:///a/b/d/e%20f.parquet", "s3://bucket/x.parquet", "s3://bucket/a/b/c.parquet"]),
)
def test_references_lead_back(folder: str, uri: str) -> None:
    assert resolve(folder, reference(folder, uri)) == uri
    if reference(folder, uri) != uri:  # a store that was moved whole still finds its shards
        moved = folder.replace("/a", "/moved/a", 1) if folder.startswith("file") else folder
        assert resolve(moved, reference(folder, uri)).endswith(storage.name_of(uri).replace(" ", "%20"))
