from __future__ import annotations

import pytest

from tasks.transcripts.cues.cutting import cut
from tasks.transcripts.document import Word
from tasks.transcripts.merging import with_speakers
from tasks.transcripts.spans import Turn
from tasks.transcripts.speaker_changes import settle
from tests.tasks.transcripts.builders import speak, transcript, word

SENTENCE = "The council has voted for the new bridge."  # eight words of 300 ms


def settled(sentences: str, speakers: str, word_ms: int = 300) -> str:
    """One letter for each word; a dot for no speaker."""
    spoken = speak(sentences, word_ms=word_ms)
    found = settle(spoken, [None if letter == "." else letter for letter in speakers])
    return "".join(speaker or "." for speaker in found)


@pytest.mark.parametrize(
    ("speakers", "expected"),
    [
        ("AAABAAAA", "AAAAAAAA"),
        ("AAABBAAA", "AAAAAAAA"),  # 600 ms
        ("AAA.BAAA", "AAA.BAAA"),  # the runs beside each other differ
        ("AAA..AAA", "AAAAAAAA"),
        ("AABABAAA", "AAAAAAAA"),
        ("AAABBBAA", "AAABBBAA"),  # 900 ms: somebody did speak
        ("AAAABBBB", "AAAABBBB"),
        ("BAAAAAAB", "BAAAAAAB"),
    ],
)
def test_a_few_words_of_another_speaker_inside_a_sentence(speakers: str, expected: str) -> None:
    assert settled(SENTENCE, speakers) == expected


def test_no_words_and_one() -> None:
    assert settle([], []) == []
    assert settle([word("Yes.", 0, 300)], ["A"]) == ["A"]


@pytest.mark.parametrize(
    ("sentences", "speakers", "expected"),
    [
        ("we meet at ten. It is late.", "AAABBBB", "AAAABBB"),  # the change comes a word early
        ("we meet at ten. it is late.", "AAAAABB", "AAAABBB"),  # a word late
        ("we meet at ten. It is late.", "AAAAABB", "AAAABBB"),
        ("we meet at ten. It is late.", "AABBBBB", "AABBBBB"),  # 600 ms are no error of a boundary
        ("Are you sure Yes. I am.", "AAABBB", "AAABBB"),  # a capital starts an answer
        ("we meet at ten It is late.", "AAABBBB", "AAABBBB"),  # where no sentence ends
        ("we meet at ten. It is late.", "AAABCCC", "AAABCCC"),  # the next speaker is a third
    ],
)
def test_a_change_close_to_the_end_of_a_sentence_is_moved_there(sentences: str, speakers: str, expected: str) -> None:
    assert settled(sentences, speakers) == expected


def test_words_between_pauses_keep_their_speaker() -> None:
    spoken = [word("we", 0, 300), word("no", 700, 900), word("meet", 1_300, 1_600)]
    assert settle(spoken, ["A", "B", "A"]) == ["A", "B", "A"]


def test_a_turn_of_half_a_second_breaks_no_sentence_into_cues() -> None:
    spoken: list[Word] = speak(SENTENCE)
    turns = [Turn(0, 890, "S1"), Turn(890, 1_520, "S2"), Turn(1_520, 2_400, "S1")]
    (cue,) = cut(transcript(with_speakers(spoken, turns)))
    assert " ".join(line.text for line in cue.lines) == SENTENCE
    assert {line.speaker for line in cue.lines} == {"S1"}
