"""The benchmark of caption files, in small."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.captions import readers, score_all, total
from benchmarks.support.captions.files import CaptionFile, make_files
from benchmarks.support.captions.scoring import Taught, score
from benchmarks.support.captions.script import Word

FORMATS = [".srt", ".vtt", ".ttml", ".dfxp", ".itt", ".xml", ".stl", ".scc", ".jsonl"]
SAID = ["the", "council", "has", "opened", "the", "new", "bridge"]


@pytest.fixture
def file() -> CaptionFile:
    """A programme in which seven words are said, the third to last of them in a cue that cannot be used."""
    words = tuple(Word(text, 1000 * n, 1000 * (n + 1), n != 4, "plain") for n, text in enumerate(SAID))
    return CaptionFile("a", "en/a.srt", b"", "en", words, 10_000, "")


def taught(start_ms: int, end_ms: int, text: str) -> Taught:
    return Taught(start_ms, end_ms, tuple(text.split()))


@pytest.mark.parametrize(
    ("utterances", "kept", "not_said", "omitted"),
    [
        pytest.param([taught(0, 4000, "the council has opened"), taught(5000, 7000, "new bridge")], 6, 0, 0, id="all"),
        pytest.param([taught(90, 3910, "the council has opened")], 4, 0, 0, id="within the tolerance"),
        pytest.param([taught(150, 3850, "the council has opened")], 2, 0, 0, id="words that are cut off"),
        pytest.param([taught(0, 7000, "the council has opened new bridge")], 6, 0, 1, id="joined over a lost cue"),
        pytest.param([taught(0, 3000, "the applause council has")], 3, 1, 0, id="a word that is not said"),
        pytest.param([taught(0, 3000, "council the has")], 2, 1, 1, id="another order"),
        pytest.param([taught(3000, 6000, "the council has")], 0, 2, 2, id="the wrong time"),
        pytest.param([taught(0, 1000, "the"), taught(0, 1000, "the")], 1, 1, 0, id="taught twice"),
    ],
)  # fmt: skip
def test_scores(file: CaptionFile, utterances: list[Taught], kept: int, not_said: int, omitted: int) -> None:
    found = score(file, utterances)
    assert (found.n_wanted, found.n_kept, found.n_not_said, found.n_omitted) == (6, kept, not_said, omitted)


def test_files_are_the_same_for_a_seed() -> None:
    first, again, other = make_files(9), make_files(9), make_files(9, seed=1)
    assert first == again
    assert [file.format for file in first] == FORMATS
    assert not {file.data for file in first} & {file.data for file in other}


def test_of_two_files_of_each_format_every_word_is_kept_and_none_invented(tmp_path: Path) -> None:
    files = make_files(2 * len(FORMATS))
    scores = {reader: score_all(files, read) for reader, read in readers(files, tmp_path).items()}
    found = total(scores["airscript"].values())
    assert (found.n_kept, found.n_not_said, found.n_omitted) == (found.n_wanted, 0, 0), found.examples
    assert found.n_wanted > 2000
    for peer in ("pysubs2", "ttconv"):
        assert 0 < total(scores[peer].values()).kept_share < 1
