"""Counting errors, against published figures and jiwer's own."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jiwer
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.transcripts.error_counts import ErrorCounts, total
from training.scoring.errors import character_errors, word_errors, word_errors_with_alternatives

texts = st.lists(st.sampled_from(["the", "cat", "sat", "on", "a", "mat"]), max_size=8).map(" ".join)


def read_tsv(path: Path) -> dict[str, str]:
    lines = (line.partition("\t") for line in path.read_text().splitlines())
    return {key: text for key, _, text in lines}


@pytest.mark.parametrize("system", ["baseline", "best"])
def test_published_word_error_rates(speech: Path, system: str) -> None:
    folder = speech / "scoring" / "wer" / "librispeech_test_clean"
    expected = json.loads((folder / "expected.json").read_text())["systems"][system]
    references, hypotheses = read_tsv(folder / "ref.tsv"), read_tsv(folder / f"hyp_{system}.tsv")
    found = total(word_errors(text, hypotheses[key]) for key, text in references.items())
    assert found.length == expected["reference_words"] == 52_576
    assert found.errors == expected["errors"]
    assert 100 * found.rate == pytest.approx(expected["wer_percent"], abs=1e-12)


def read_trn(path: Path) -> dict[str, str]:
    matches = (re.match(r"(.*)\((\S+)\)\s*$", line) for line in path.read_text().splitlines())
    return {m[2].lower(): m[1].lower() for m in matches if m}


def test_published_errors_with_alternatives(speech: Path) -> None:
    folder = speech / "scoring" / "wer" / "news_alternatives"
    references, hypotheses = read_trn(folder / "ref.trn"), read_trn(folder / "hyp.trn")
    assert len(references) == 51
    found = total(word_errors_with_alternatives(text, hypotheses[key]) for key, text in references.items())
    assert (found.errors, found.length) == (169, 1406)


@settings(max_examples=100, deadline=None)
@given(texts, texts)
def test_counts_agree_with_jiwer(reference: str, hypothesis: str) -> None:
    found = word_errors(reference, hypothesis)
    assert found.length == len(reference.split())
    assert found.length - found.deletions + found.insertions == len(hypothesis.split())
    if reference:
        assert found.rate == pytest.approx(jiwer.wer(reference, hypothesis))


def test_empty_texts() -> None:
    assert word_errors("", "") == ErrorCounts()
    assert word_errors("", "made up words") == ErrorCounts(insertions=3)
    assert word_errors("all lost", "") == ErrorCounts(deletions=2, length=2)
    assert character_errors("ab", "") == ErrorCounts(deletions=2, length=2)


def test_characters_count_the_spaces_between_words() -> None:
    assert character_errors("a b", "ab") == ErrorCounts(deletions=1, length=3)


def test_alternatives() -> None:
    reference = "the { colour / color } of { @ / an } apple"
    assert word_errors_with_alternatives(reference, "the color of apple").errors == 0
    assert word_errors_with_alternatives(reference, "the colour of an apple").errors == 0
    assert word_errors_with_alternatives(reference, "the colours of apple").errors == 1
