"""Texts without capitals take the form of a transcript of the same speech."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.transcripts.normaliser import normalise
from training.data.written_form import restore

CASES = [
    ("mark is going to see elephant", "Mark is going to see Elephant.", "Mark is going to see Elephant."),
    ("TOM GIVES UP BOXING", "Tom gives a boxing.", "Tom gives up boxing."),
    ("dose mike like the hamburger", "Does Mike like the hamburger?", "Dose Mike like the hamburger?"),
    ("that's not a bad deal", "That’s not a bad deal!", "That’s not a bad deal!"),
    ("yes, he came. he was late?", "Yes he came, he was late", "Yes, he came. He was late?"),
    ("we met dora in bonn", 'We met Dorah in "Bonn".', "We met Dora in Bonn."),
    ("it was not heard", "", "it was not heard"),
    ("It is Written", "it is written", "It is Written"),
    ("nothing alike here", "Completely different words were heard.", "Nothing alike here."),
    ("no capitals there", "no capitals there", "no capitals there"),
    ("", "you", ""),
]


@pytest.mark.parametrize(("text", "heard", "written"), CASES)
def test_words_take_the_form_that_was_heard(text: str, heard: str, written: str) -> None:
    assert restore(text, heard) == written


@given(st.lists(st.sampled_from(["one", "two,", "three.", "it's", "4"])), st.text(max_size=40))
def test_the_words_stay_the_texts(words: list[str], heard: str) -> None:
    """Whatever was heard: same number, same words, same order. Segments are cut by their number of words."""
    text = " ".join(words)
    found = restore(text, heard)
    assert len(found.split()) == len(words)
    assert normalise(found) == normalise(text)
