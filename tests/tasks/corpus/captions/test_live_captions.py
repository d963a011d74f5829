"""Roll-up, paint-on and automatic captions: every line once, every word kept, prepared captions unchanged."""

from __future__ import annotations

import itertools

import pytest

from tasks.corpus.captions.chains import shorten_chains
from tasks.corpus.captions.roll_up import unroll
from tasks.corpus.captions.subtitles import parse_subtitles
from tasks.corpus.records import Supervision

READY_MADE = [
    "The harbour was built in spring.", "Stone came down the river.", "Forty men worked on the wall.",
    "The first ship was a small one.", "She carried salt and wool.", "Nobody paid for the lamp.",
]  # fmt: skip
LIVE = ["Good morning from the", "live desk where we hear", "that the minister has", "resigned this morning"]


def cues(texts: list[str], start_s: float = 0.0, every_s: float = 2.0, length_s: float = 2.0) -> list[Supervision]:
    starts = [start_s + every_s * n for n in range(len(texts))]
    return [
        Supervision(start_s=round(a, 3), end_s=round(a + length_s, 3), text=text)
        for a, text in zip(starts, texts, strict=True)
    ]


def among_ready_made(live: list[Supervision]) -> list[Supervision]:
    return [*cues(READY_MADE * 5), *live, *cues(READY_MADE * 5, start_s=1000.0)]


def unrolled(live: list[Supervision]) -> list[str]:
    """The texts of an insert after unrolling. The programme around it stays as it is."""
    result = unroll(among_ready_made(live))
    n = len(READY_MADE) * 5
    assert [cue.text for cue in result[:n] + result[-n:]] == READY_MADE * 10
    return [cue.text for cue in result[n:-n]]


@pytest.mark.parametrize("n_rows", [2, 3])
@pytest.mark.parametrize("n_lines", [3, 4])
def test_a_live_insert_is_read_once(n_rows: int, n_lines: int) -> None:
    screens = ["\n".join(LIVE[max(0, n - n_rows + 1) : n + 1]) for n in range(n_lines)]
    assert unrolled(cues(screens, start_s=500.0)) == LIVE[:n_lines]


def test_words_that_appear_one_by_one_are_read_once() -> None:
    words = " ".join(LIVE).split()
    screens = [" ".join(words[: n + 1]) for n in range(len(words))]
    assert " ".join(unrolled(cues(screens, 500.0, 0.3, 0.3))) == " ".join(words)


def test_letters_that_appear_one_by_one_are_read_once() -> None:
    text = " ".join(LIVE[:2])
    screens = [text[:n].strip() for n in range(2, len(text) + 1, 3)] + [text]
    assert " ".join(unrolled(cues(screens, 500.0, 0.2, 0.2))) == text


def test_repeated_ends_of_lines_are_read_once() -> None:
    screens = [
        "what would you say by the end of the day that we are going to",
        "the day that we are going to take away and what have they",
        "take away and what have they learned",
    ]
    assert " ".join(unrolled(cues(screens, 500.0))) == (
        "what would you say by the end of the day that we are going to take away and what have they learned"
    )


def test_a_line_shown_again_to_highlight_its_words_is_read_once() -> None:
    assert unrolled(cues(["good morning from the live desk"] * 6, 500.0, 0.3, 0.3)) == [
        "good morning from the live desk"
    ]


@pytest.mark.parametrize(
    "spoken",
    [
        ["Go, go, go!"] * 6,
        ["We want work!", "We want work!", "We want work!"],
        ["No.", "No.\nI said no.", "And that is all."],
        ["Hey!", "Hey!\nHo!", "Ho!\nLet's go!"],
        ["I have a dream", "I have a dream\nthat one day"],
        ["You know it.", "it. No, I do not."],
        ["Where were you?", "At home.\nWhere were you?", "At work."],
    ],
)
def test_words_spoken_twice_are_kept_twice(spoken: list[str]) -> None:
    assert unrolled(cues(spoken, start_s=500.0)) == spoken


def test_a_line_that_flashes_before_it_scrolls_is_read_once() -> None:
    screens = [
        ("hello all", 2.0),
        ("hello all", 0.01),
        ("hello all\nnow to", 2.0),
        ("now to", 0.01),
        ("now to\nus", 2.0),
    ]
    live, start_s = [], 500.0
    for text, length_s in screens:
        live += cues([text], round(start_s, 3), length_s=length_s)
        start_s += length_s
    assert unrolled(live) == ["hello all", "now to", "us"]


def chain(n: int, start_s: float = 0.0, every_s: float = 2.3, n_rows: int = 2) -> list[Supervision]:
    texts = [
        f"{word} goes on and on"
        for word in ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel"][:n]
    ]
    return cues(texts, start_s, every_s, n_rows * every_s)


@pytest.mark.parametrize(("n", "n_rows"), [(4, 2), (5, 2), (8, 2), (5, 3), (8, 3)])
def test_cues_that_stay_until_the_next_but_one_end_at_the_next(n: int, n_rows: int) -> None:
    overlapping = chain(n, n_rows=n_rows)
    result = shorten_chains(overlapping)
    assert [cue.text for cue in result] == [cue.text for cue in overlapping]
    assert [cue.end_s for cue in result[:-1]] == [cue.start_s for cue in overlapping[1:]]
    assert result[-1].end_s is not None
    assert result[-1].end_s > result[-1].start_s


def test_a_chain_among_prepared_captions_is_shortened_alone() -> None:
    before, after = cues(READY_MADE), cues(READY_MADE, 100.0)
    result = shorten_chains([*before, *chain(6, 50.0), *after])
    assert result[:6] == before
    assert result[-6:] == after
    assert all(a.end_s == b.start_s for a, b in itertools.pairwise(result[6:12]))


def test_a_chain_continues_past_music() -> None:
    lines = chain(8)
    music = lines[2].model_copy(update={"text": "[Music]"})
    long_music = lines[2].model_copy(update={"text": "[Music]", "end_s": 40.0})
    for third in (music, long_music):
        result = [c for c in shorten_chains([*lines[:2], third, *lines[3:]]) if c.text != "[Music]"]
        assert all((a.end_s or 0.0) <= b.start_s for a, b in itertools.pairwise(result))


def test_short_runs_are_chains_in_a_file_of_chains() -> None:
    result = shorten_chains([*chain(6), *chain(2, 50.0)])
    assert result[6].end_s == result[7].start_s


@pytest.mark.parametrize(
    "times",
    [
        [(1.0, 4.0), (1.0, 4.0)],
        [(1.0, 4.0), (2.5, 5.5)],
        [(1.0, 9.0), (2.0, 4.0), (5.0, 7.0)],  # a sign, and speech while it stands
        [(1.0, 4.0), (2.5, 5.5), (4.0, 7.0)],  # two speakers in turn
        [(1.0, 3.04), (3.0, 5.04), (5.0, 7.04), (7.0, 9.04), (9.0, 11.04), (11.0, 13.0)],  # a frame of overlap
    ],
)
def test_other_overlaps_stay(times: list[tuple[float, float]]) -> None:
    overlapping = [Supervision(start_s=a, end_s=b, text=f"words at {a}") for a, b in times]
    assert shorten_chains(overlapping) == overlapping


def test_cues_at_different_positions_are_no_chain() -> None:
    lines = chain(6)
    assert shorten_chains(lines, ["left", "right"] * 3) == lines
    sides = "".join(
        f"00:0{c.start_s:.3f} --> 00:{c.end_s:06.3f} position:{20 + 60 * (n % 2)}%\n{c.text}\n\n"
        for n, c in enumerate(lines[:4])
    )
    read, _ = parse_subtitles(f"WEBVTT\n\n{sides}")
    assert [c.end_s for c in read] == [c.end_s for c in lines[:4]]
    two = [c.model_copy(update={"speaker": "ab"[n % 2]}) for n, c in enumerate(lines)]
    assert shorten_chains(two) == two
