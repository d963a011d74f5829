from __future__ import annotations

import pytest
from hypothesis import given

from tasks.transcripts.document import Word
from tasks.transcripts.sentences import ends_sentence, with_capitals
from tests.tasks.transcripts.builders import speak, word, words


@pytest.mark.parametrize(
    ("text", "following", "ends"),
    [
        ("house.", "The", True),
        ("house", "The", False),
        ("house.”", "The", True),
        ('why?"', None, True),
        ("Mr.", "Jones", False),
        ("J.", "Smith", False),
        ("I.", "Then", True),
        ("Jones.", "said", False),  # the next word continues the sentence
        ("house.", "the", True),  # a recogniser without capitals
        ("no.", "that", True),
        ("3.5", "The", False),
        ("終わり。", "次", True),
        ("؟", None, True),
        ("...", "And", True),
        (",", "And", False),
    ],
)
def test_where_sentences_end(text: str, following: str | None, ends: bool):
    assert ends_sentence(text, following) is ends


def cased(spoken: list[Word], language: str = "en") -> str:
    return " ".join(one.text for one in with_capitals(spoken, language))


def test_capitals_at_sentence_starts_and_for_i():
    spoken = speak("well, i think i'm right. “yes,” he said. why? i. 2 men")
    assert cased(spoken) == "Well, I think I'm right. “Yes,” he said. Why? I. 2 men"


def test_without_punctuation_a_pause_or_a_new_speaker_starts_a_sentence():
    spoken = [*speak("so it is", "anna"), *speak("is it", "ben", 900), *speak("it is", "ben", 4_000)]
    assert cased(spoken) == "So it is Is it It is"


def test_i_is_a_word_only_in_english():
    assert cased(speak("ja i morgon"), "sv") == "Ja i morgon"


def test_one_capital_anywhere_and_nothing_is_touched():
    spoken = speak("so the BBC said. i agree")
    assert with_capitals(spoken, "en") == tuple(spoken)


def test_capitals_of_vocabulary_words_do_not_count():
    spoken = speak("good evening i am here with “David Ellis.” tonight")
    found = with_capitals(spoken, "en", names={"David", "Ellis"})
    assert " ".join(one.text for one in found) == "Good evening I am here with “David Ellis.” Tonight"
    assert with_capitals(speak("with David Ellis and Anna"), "en", names={"David", "Ellis"})[0].text == "with"


def test_scripts_without_case_are_left_alone():
    spoken = [word("日本語", 0, 1), word("שלום", 1, 2)]
    assert with_capitals(spoken, "ja") == tuple(spoken)


@given(words())
def test_only_case_changes(spoken: list[Word]):
    found = with_capitals(spoken, "en")
    for before, after in zip(spoken, found, strict=True):
        assert after.text.casefold() == before.text.casefold()
        assert after.model_copy(update={"text": before.text}) == before
    assert with_capitals(found, "en") == found
