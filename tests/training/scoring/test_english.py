"""The English normaliser: ways of writing are no errors, other words are."""

from __future__ import annotations

import pytest

from training.scoring.english import normalise_english


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("one five zero four", "1504", id="digits and a number"),
        pytest.param("one five zero four", "1-5-0-4.", id="digits with hyphens"),
        pytest.param("one five oh four", "1, 5, 0, 4", id="oh"),
        pytest.param("thirty three", "33", id="a cardinal"),
        pytest.param("march third nineteen twenty eight", "March 3rd, 1928", id="a date"),
        pytest.param("it's the king's", "It’s the king’s", id="apostrophes"),
        pytest.param("p i t t s", "P-I-T-T-S", id="spelled"),
        pytest.param("fifty six thousand", "56,000", id="thousands"),
        pytest.param("thirty six percent", "36%", id="per cent"),
        pytest.param("twenty dollars", "$20", id="money"),
        pytest.param("three point five", "3.5", id="decimals"),
        pytest.param("he won't", "He will not.", id="contractions"),
    ],
)
def test_ways_of_writing_are_no_errors(one: str, other: str) -> None:
    assert normalise_english(one) == normalise_english(other) != ""


def test_an_error_in_a_number_is_one_digit() -> None:
    assert normalise_english("1504") == "1 5 0 4"
    assert normalise_english("39 steps") != normalise_english("38 steps")
