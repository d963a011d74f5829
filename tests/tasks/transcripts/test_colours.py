from __future__ import annotations

from tasks.transcripts.colours import Colour, speaker_colours
from tests.tasks.transcripts.builders import said, transcript


def conversation(*speakers: str):
    return transcript([one for index, name in enumerate(speakers) for one in said("well yes", name, 600 * index)])


def test_who_says_most_is_white_and_four_have_four_colours():
    colours = speaker_colours(conversation("ann", "bob", "ann", "cat", "ann", "bob", "dan"))
    assert colours["ann"] is Colour.WHITE
    assert colours["bob"] is Colour.YELLOW
    assert set(colours.values()) == set(Colour)


def test_a_fifth_speaker_shares_with_one_he_never_meets():
    colours = speaker_colours(conversation("ann", "bob", "cat", "dan", "ann", "bob", "cat", "dan", "cat", "eve", "dan"))
    assert colours["eve"] not in (colours["cat"], colours["dan"])


def test_unknown_speakers_have_no_colour_of_their_own():
    assert speaker_colours(transcript(said("who is this"))) == {}
