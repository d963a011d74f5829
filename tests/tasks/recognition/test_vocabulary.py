"""Expected words: what they earn in the search, and how they are written."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.recognition.beam import search
from tasks.recognition.engine import Word
from tasks.recognition.greedy import vocabulary as symbols_of
from tasks.recognition.vocabulary import MOST_PHRASES, VocabularyGuide, parse, written
from tasks.transcripts.document import WordTiming

TOKENS = ["<blank>", " ", ".", *"abcdefghijklmnopqrstuvwxyz"]
SYMBOLS = symbols_of(TOKENS, {0})
PIECES = ["<pad>", "▁new", "▁yo", "rk", "▁", "y", "o", "r", "k", "▁times", "er", "."]


def earned(text: str, phrases: list[str], tokens: list[str] = TOKENS, ids: list[int] | None = None) -> float:
    """What a whole text earns, at one a character."""
    guide = VocabularyGuide(phrases, symbols_of(tokens, {0}), boost=1.0)
    state, total = np.array([[guide.start]]), 0.0
    for symbol in ids or [tokens.index(character) for character in text]:
        total += float(guide.scores(state, np.array([[symbol]]))[0, 0, 0])
        state = guide.follow(state[0], np.array([symbol]))[None]
    return total + float(guide.close(state)[0, 0])


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ("york", 4),
        ("in york today", 4),
        ("york.", 4),
        ("new york", 7),
        ("new york times", 12),
        ("new york time", 7),  # the longer phrase is not said to its end: what it earned is given back
        ("new jersey", 0),
        ("new new york", 7),
        ("yorker", 0),
        ("ayork", 0),
        ("new yorkyork", 0),
        ("new york york", 11),
        ("york minster abbey", 11),
        ("york minst", 4),
        ("  york  york ", 8),
        ("", 0),
    ],
)
def test_only_whole_phrases_earn(text: str, points: float) -> None:
    phrases = ["New York Times", "York", "new york", "York Minster"]
    assert earned(text, phrases) == pytest.approx(points)
    assert earned(text, phrases[::-1]) == pytest.approx(points)


@given(
    st.lists(st.sampled_from(["ann", "anna", "anna b", "b a", "ab ba", "a"]), max_size=4), st.text("ab n", max_size=14)
)
def test_nobody_loses_by_a_vocabulary_and_no_more_is_earned_than_said(phrases: list[str], text: str) -> None:
    total = earned(text, phrases)
    assert -1e-6 <= total <= sum(map(str.isalpha, text)) + 1e-6
    if not any(re.search(rf"(?<!\S){phrase}(?!\S)", text) for phrase in phrases):
        assert total == pytest.approx(0)


def test_pieces_of_any_length_spell_a_phrase() -> None:
    for ids in ([1, 2, 3], [1, 4, 5, 6, 7, 8]):
        assert earned("", ["New York"], PIECES, ids) == pytest.approx(7)
    assert earned("", ["New York"], PIECES, [1, 2, 3, 10]) == pytest.approx(0)  # New Yorker


def test_the_vocabulary_decides_where_the_audio_is_in_doubt() -> None:
    """ "carl" or "karl"? The audio is a little more for the first."""
    frames = np.full((7, len(TOKENS)), 1e-4, dtype=np.float32)
    for n, (likely, other) in enumerate([("c", "k"), ("a", "a"), ("r", "r"), ("l", "l")]):
        frames[2 * n, TOKENS.index(other)] = 0.45
        frames[2 * n, TOKENS.index(likely)] = 0.55
        if n < 3:
            frames[2 * n + 1, 0] = 0.9
    log_posteriors = np.log(frames / frames.sum(axis=1, keepdims=True))

    def heard(phrases: list[str]) -> str:
        (ids,) = search([log_posteriors], 0, [VocabularyGuide(phrases, SYMBOLS)] if phrases else [])
        return "".join(TOKENS[symbol] for symbol in ids)

    assert heard([]) == "carl"
    assert heard(["Karl"]) == "karl"
    assert heard(["Karla"]) == "carl"
    assert heard(["Bob"]) == "carl"


def spoken(text: str) -> list[Word]:
    return [Word(word, n, n + 1, 0.5, WordTiming.CTC) for n, word in enumerate(text.split())]


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("here is david ellis, with mcdonald's", "here is David Ellis, with McDonald's"),
        ("david smith", "david smith"),
        ("new york times and new york.", "New York Times and New York."),
        ("the bbc said", "the BBC said"),
    ],
)
def test_words_are_written_as_they_were_given(said: str, shown: str) -> None:
    phrases = ("David Ellis", "McDonald's", "New York", "New York Times", "BBC")
    found = written(spoken(said), phrases)
    assert " ".join(word.text for word in found) == shown
    assert [(w.start_ms, w.end_ms) for w in found] == [(w.start_ms, w.end_ms) for w in spoken(said)]


def test_a_list_is_read_as_people_write_it() -> None:
    text = "\ufeffDavid Ellis\r\n# guests\n\nClara  Bennett # the host\nDavid Ellis\n???\n" + "x" * 99
    assert parse(text) == ("David Ellis", "Clara Bennett")
    assert len(parse("\n".join(f"name{n}" for n in range(2 * MOST_PHRASES)))) == MOST_PHRASES
