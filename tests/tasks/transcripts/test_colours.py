from __future__ import annotations

from tasks.transcripts.colours import Colour, speaker_colours
from tests.tasks.transcripts.builders import speak, transcript


def conversation(*speakers: str):
    return transcript([one for index, name in enumerate(speakers) for one in speak("well yes", name, 600 * index)])


def test_the_speaker_with_most_words_is_white_and_four_have_four_colours():
    colours = speaker_colours(conversation("ann", "bob", "ann", "cat", "ann", "bob", "dan"))
    assert colours["ann"] is Colour.WHITE
    assert colours["bob"] is Colour.YELLOW
    assert set(colours.values()) == set(Colour)


def test_a_fifth_speaker_shares_the_colour_of_a_non_adjacent_one():
    colours = speaker_colours(conversation("ann", "bob", "cat", "dan", "ann", "bob", "cat", "dan", "cat", "eve", "dan"))
    assert colours["eve"] not in (colours["cat"], colours["dan"])


def test_unknown_speakers_have_no_colour_of_their_own():
    assert speaker_colours(transcript(speak("who is this"))) == {}
