"""Contextual biasing: the bonus of expected phrases in the beam search, and their spelling."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.recognition.beam import search
from tasks.recognition.engine import RecognisedWord
from tasks.recognition.greedy import symbol_table
from tasks.recognition.vocabulary import MAX_PHRASES, VocabularyScorer, parse_phrases, spell_as_listed
from tasks.transcripts.document import WordTiming

TOKENS = ["<blank>", " ", ".", *"abcdefghijklmnopqrstuvwxyz"]
SYMBOLS = symbol_table(TOKENS, {0})
PIECES = ["<pad>", "▁new", "▁yo", "rk", "▁", "y", "o", "r", "k", "▁times", "er", "."]


def bonus(text: str, phrases: list[str], tokens: list[str] = TOKENS, ids: list[int] | None = None) -> float:
    """The bonus of a whole text, at 1 for each character."""
    scorer = VocabularyScorer(phrases, symbol_table(tokens, {0}), boost=1.0)
    state, total = np.array([[scorer.start]]), 0.0
    for symbol in ids or [tokens.index(character) for character in text]:
        total += float(scorer.scores(state, np.array([[symbol]]))[0, 0, 0])
        state = scorer.advance(state[0], np.array([symbol]))[None]
    return total + float(scorer.final_scores(state)[0, 0])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("york", 4),
        ("in york today", 4),
        ("york.", 4),
        ("new york", 7),
        ("new york times", 12),
        ("new york time", 7),  # the longer phrase is incomplete: its bonus is given back
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
def test_only_complete_phrases_keep_their_bonus(text: str, expected: float) -> None:
    phrases = ["New York Times", "York", "new york", "York Minster"]
    assert bonus(text, phrases) == pytest.approx(expected)
    assert bonus(text, phrases[::-1]) == pytest.approx(expected)


@given(
    st.lists(st.sampled_from(["ann", "anna", "anna b", "b a", "ab ba", "a"]), max_size=4), st.text("ab n", max_size=14)
)
def test_the_total_is_neither_negative_nor_above_the_texts_length(phrases: list[str], text: str) -> None:
    total = bonus(text, phrases)
    assert -1e-6 <= total <= sum(map(str.isalpha, text)) + 1e-6
    if not any(re.search(rf"(?<!\S){phrase}(?!\S)", text) for phrase in phrases):
        assert total == pytest.approx(0)


def test_pieces_of_any_length_match_a_phrase() -> None:
    for ids in ([1, 2, 3], [1, 4, 5, 6, 7, 8]):
        assert bonus("", ["New York"], PIECES, ids) == pytest.approx(7)
    assert bonus("", ["New York"], PIECES, [1, 2, 3, 10]) == pytest.approx(0)  # New Yorker


def test_the_vocabulary_decides_where_the_audio_is_ambiguous() -> None:
    """ "carl" or "karl"? Acoustically the first is slightly more likely."""
    frames = np.full((7, len(TOKENS)), 1e-4, dtype=np.float32)
    for n, (likely, other) in enumerate([("c", "k"), ("a", "a"), ("r", "r"), ("l", "l")]):
        frames[2 * n, TOKENS.index(other)] = 0.45
        frames[2 * n, TOKENS.index(likely)] = 0.55
        if n < 3:
            frames[2 * n + 1, 0] = 0.9
    log_posteriors = np.log(frames / frames.sum(axis=1, keepdims=True))

    def decode(phrases: list[str]) -> str:
        (ids,) = search([log_posteriors], 0, [VocabularyScorer(phrases, SYMBOLS)] if phrases else [])
        return "".join(TOKENS[symbol] for symbol in ids)

    assert decode([]) == "carl"
    assert decode(["Karl"]) == "karl"
    assert decode(["Karla"]) == "carl"
    assert decode(["Bob"]) == "carl"


def spoken(text: str) -> list[RecognisedWord]:
    return [RecognisedWord(word, n, n + 1, 0.5, WordTiming.CTC) for n, word in enumerate(text.split())]


@pytest.mark.parametrize(
    ("recognised", "expected"),
    [
        ("here is david ellis, with mcdonald's", "here is David Ellis, with McDonald's"),
        ("david smith", "david smith"),
        ("new york times and new york.", "New York Times and New York."),
        ("the bbc said", "the BBC said"),
    ],
)
def test_words_are_spelled_as_listed(recognised: str, expected: str) -> None:
    phrases = ("David Ellis", "McDonald's", "New York", "New York Times", "BBC")
    found = spell_as_listed(spoken(recognised), phrases)
    assert " ".join(word.text for word in found) == expected
    assert [(w.start_ms, w.end_ms) for w in found] == [(w.start_ms, w.end_ms) for w in spoken(recognised)]


def test_a_list_with_comments_duplicates_and_odd_spaces() -> None:
    text = "\ufeffDavid Ellis\r\n# guests\n\nClara  Bennett # the host\nDavid Ellis\n???\n" + "x" * 99
    assert parse_phrases(text) == ("David Ellis", "Clara Bennett")
    assert len(parse_phrases("\n".join(f"name{n}" for n in range(2 * MAX_PHRASES)))) == MAX_PHRASES
