"""The scoring normaliser: which texts it makes equal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.transcripts.normaliser import normalise


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Good evening, it’s nine o'clock.", "good evening it's nine o'clock"),
        ("'Quoted' words", "quoted words"),
        ("10-year-old; rock 'n' roll!", "10 year old rock n roll"),
        ("  Füße\tund\nSTRASSE ", "füsse und strasse"),
        ("naïve caf\u0065\u0301", "naïve café"),
        ("... – ?", ""),
    ],
)
def test_normalise(text: str, expected: str) -> None:
    assert normalise(text) == expected


@given(st.text(max_size=60))
def test_normalising_twice_changes_nothing(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)
