"""Songs are removed completely, and speech beside them is kept."""

from __future__ import annotations

import pytest

from tasks.corpus.utterances.songs import without_songs, without_songs_in


@pytest.mark.parametrize(
    ("captions", "spoken"),
    [
        (["♪ I walk along the river\n♪ And the river runs away ♪", "Good evening."], ["", "Good evening."]),
        (["# Terrible storms in the winter\n# Gorgeous summers", "Good evening."], ["", "Good evening."]),
        (["# Terrible storms", "# Gorgeous summers", "Good evening."], ["", "", "Good evening."]),
        (["♪ I walk along the river\nand the river runs away", "Hello."], ["", "Hello."]),
        (["♪ I walk along", "and the river runs", "and never stops ♪", "Hello."], ["", "", "", "Hello."]),
        (["♪♪ I walk along", "and the river runs ♪♪", "Hello."], ["", "", "Hello."]),
        (["* La la la *", "* La la", "la la *", "Hello."], ["", "", "", "Hello."]),
        (["¶ La la la ¶", "🎵 la la 🎵", "Hello."], ["", "", "Hello."]),
        (["♪ I walk along", "Good evening.", "♪ and the river ♪"], ["", "Good evening.", ""]),
        (["♪ I walk along", "- Turn it down!", "the river ♪"], ["", "- Turn it down!", ""]),
        (["and the river runs away ♪", "Hello."], ["", "Hello."]),
        (["- Listen.\nI walk along ♪", "Hello."], ["- Listen.", "Hello."]),
        (["Good evening. ♪ I walk along", "the river ♪", "Hello."], ["Good evening.", "", "Hello."]),
        (["- ♪ La la la ♪\n- Hello there."], ["- Hello there."]),
        (["ANNA: ♪ La la la ♪", "♪ La la\nBEN: Hello."], ["", "BEN: Hello."]),
        (["Good evening. ♪ La la ♪ And now."], ["Good evening. And now."]),
        (["♪ La la ♪ Good evening."], ["Good evening."]),
    ],
)
def test_songs_are_removed(captions: list[str], spoken: list[str]) -> None:
    assert without_songs_in([(3.0 * n, 3.0 * n + 2, text) for n, text in enumerate(captions)]) == spoken


@pytest.mark.parametrize(
    "captions",
    [
        ["Tweet us at #news tonight", "or at #sport.", "The # sign is here"],
        ["Five * six", "It was a f*** mess"],
        ["Good night to you. ♪♪", "Good morning."],
        ["♪", "Good evening.", "♪ ♪"],
        ["♪♪\nGood evening."],
    ],
)
def test_speech_is_kept(captions: list[str]) -> None:
    spoken = without_songs_in([(3.0 * n, 3.0 * n + 2, text) for n, text in enumerate(captions)])
    words = [" ".join(text.replace("♪", "").split()) for text in captions]
    assert [" ".join(text.split()) for text in spoken] == words


def test_a_song_ends_at_a_long_pause() -> None:
    captions = [(0.0, 2.0, "♪ I walk along"), (60.0, 62.0, "Good evening."), (63.0, 65.0, "and the river ♪")]
    assert without_songs_in(captions) == ["", "Good evening.", ""]


def test_a_song_mark_without_end_is_ignored_after_many_captions() -> None:
    captions = [(3.0 * n, 3.0 * n + 2, "Some words.") for n in range(40)]
    captions[0], captions[-1] = (0.0, 2.0, "♪ I walk along"), (117.0, 119.0, "the river ♪")
    spoken = without_songs_in(captions)
    assert spoken[1:10] == ["Some words."] * 9


def test_one_caption_alone() -> None:
    assert without_songs("#\nLa la\n#\nGood evening.") == "Good evening."
    assert without_songs("♪ La la la ♪") == ""
    assert without_songs("no mark") == "no mark"
