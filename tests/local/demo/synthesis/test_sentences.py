"""Sentences use only the model's characters, numbers are words, and the channel's two sides share no sentence."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.demo.base_model.alphabet import CHARACTERS
from local.demo.synthesis.grammar import Side, sentence, side_of
from local.demo.synthesis.lexicon import LEXICON
from local.demo.synthesis.numerals import cardinal, ordinal, year
from local.demo.synthesis.sentences import SentenceGenerator, vocabulary

PROGRAMME_SLOTS = [
    "news_opening",
    "news",
    "question",
    "news_closing",
    "weather_opening",
    "weather",
    "weather_closing",
    "sport_opening",
    "sport",
    "sport_closing",
    "talk_opening",
    "ask",
    "answer",
    "react",
    "talk_closing",
]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zero"),
        (13, "thirteen"),
        (40, "forty"),
        (99, "ninety nine"),
        (100, "one hundred"),
        (342, "three hundred and forty two"),
        (1000, "one thousand"),
        (2026, "two thousand and twenty six"),
        (68_270, "sixty eight thousand two hundred and seventy"),
    ],
)
def test_cardinals(number: int, words: str) -> None:
    assert cardinal(number) == words


@settings(deadline=None)
@given(st.integers(0, 999_998))
def test_every_number_has_different_words(number: int) -> None:
    assert cardinal(number) != cardinal(number + 1)
    assert set(cardinal(number)) <= set(CHARACTERS)


def test_numbers_beyond_those_of_the_sentences_have_words_too() -> None:
    assert cardinal(-1) == "minus one"
    assert cardinal(1_000_000) == "one million"


def test_ordinals_and_years() -> None:
    for number, word in (
        (1, "first"),
        (3, "third"),
        (5, "fifth"),
        (12, "twelfth"),
        (20, "twentieth"),
        (21, "twenty first"),
    ):
        assert ordinal(number) == word
    assert year(1987) == "nineteen eighty seven"
    assert year(2004) == "two thousand and four"
    assert year(1905) == "nineteen oh five"
    assert year(1900) == "nineteen hundred"


def test_base_sentences_are_deterministic_varied_and_in_the_alphabet() -> None:
    generator, again, other = SentenceGenerator(7), SentenceGenerator(7), SentenceGenerator(8)
    sentences = [generator.sentence() for _ in range(3000)]
    assert sentences == [again.sentence() for _ in range(3000)]
    assert not set(sentences[:200]) & {other.sentence() for _ in range(200)}
    assert set("".join(sentences)) <= set(CHARACTERS)
    assert all(re.fullmatch(r"[^.?]+[.?]", s) for s in sentences)
    assert len({word for s in sentences for word in re.findall(r"[a-z']+", s)}) > 8000


def test_the_vocabulary_is_tens_of_thousands_of_words_by_frequency() -> None:
    words, frequencies = vocabulary()
    assert len(set(words)) == len(words) == 40_000
    assert list(frequencies) == sorted(frequencies, reverse=True)


@pytest.mark.parametrize("slot", PROGRAMME_SLOTS)
def test_archive_and_inbox_share_no_sentence(slot: str) -> None:
    rng = random.Random(slot)
    drawn = {side: {sentence(slot, side, rng) for _ in range(200)} for side in Side}
    assert not drawn[Side.ARCHIVE] & drawn[Side.INBOX]
    for side, sentences in drawn.items():
        assert all(side_of(s) is side for s in sentences)


def test_the_side_ignores_case_and_punctuation() -> None:
    assert side_of("Good evening, from Selby.") is side_of("good evening from selby")


@pytest.mark.parametrize("slot", PROGRAMME_SLOTS)
def test_channel_sentences_are_capitalised_and_punctuated(slot: str) -> None:
    rng = random.Random(slot)
    for _ in range(200):
        text = sentence(slot, Side.ARCHIVE, rng)
        assert text[0].isupper()
        assert text[-1] in ".?"
        assert set(text.lower()) <= set(CHARACTERS), text
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]|  | [.,?]", text), text


def test_every_slot_of_the_lexicon_is_filled_and_used() -> None:
    numbers = {"small", "medium", "hundreds", "degrees", "hour", "date"}
    asked = {slot for entries in LEXICON.values() for entry in entries for slot in re.findall(r"{(\w+)}", entry)}
    assert asked <= set(LEXICON) | numbers
    assert set(LEXICON) - asked == set(PROGRAMME_SLOTS)


def test_the_channels_vocabulary_has_several_hundred_words() -> None:
    rng = random.Random(5)
    texts = (sentence(slot, Side.ARCHIVE, rng) for slot in PROGRAMME_SLOTS for _ in range(150))
    assert 500 < len({word for text in texts for word in re.findall(r"[a-z']+", text.lower())}) < 1500
