"""New words of a draft get times between their neighbours; kept words keep theirs."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.transcripts.document import Word
from tasks.transcripts.reviews.draft import BasedOn, Draft, DraftRejected, DraftSegment, DraftWord
from tasks.transcripts.reviews.timing import with_times
from tests.tasks.transcripts.builders import word

MACHINE = [word("good", 1000, 1300), word("evening", 1300, 1800), word("their", 2000, 2200), word("news", 2600, 3000)]


def draft(*segments: list[tuple[str, int | None, int | None]], bounds: tuple[int, int] = (0, 10_000)) -> Draft:
    return Draft(
        based_on=BasedOn(transcript_sha256="0" * 64),
        speakers=(),
        segments=tuple(
            DraftSegment(speaker=None, start_ms=bounds[0], end_ms=bounds[1], words=tuple(DraftWord(*w) for w in words))
            for words in segments
        ),
    )


def timed(
    *segments: list[tuple[str, int | None, int | None]], **options: tuple[int, int]
) -> list[tuple[str, int, int]]:
    found = with_times(draft(*segments, **options), MACHINE, 10_000)
    return [tuple(word) for segment in found for word in segment.words]  # type: ignore[misc]


def new(text: str) -> tuple[str, None, None]:
    return text, None, None


def kept(word: Word) -> tuple[str, int, int]:
    return word.text, word.start_ms, word.end_ms


def test_a_word_that_replaces_one_takes_its_time() -> None:
    words = timed([*map(kept, MACHINE[:2]), new("there"), kept(MACHINE[3])])
    assert words[2] == ("there", 2000, 2200)


def test_two_words_for_one_divide_its_time_by_length() -> None:
    words = timed([*map(kept, MACHINE[:2]), new("the"), new("airs"), kept(MACHINE[3])])
    assert words[2:4] == [("the", 2000, 2085), ("airs", 2085, 2200)]


def test_a_segment_typed_anew_keeps_the_times_of_equal_words() -> None:
    words = timed([new("Good"), new("evening,"), new("here"), new("is"), new("the"), new("news.")], bounds=(1000, 3000))
    assert [words[0], words[1], words[5]] == [("Good", 1000, 1300), ("evening,", 1300, 1800), ("news.", 2600, 3000)]


def test_added_words_follow_at_the_speed_of_speech_and_not_over_the_whole_pause() -> None:
    (*_, last) = timed([*map(kept, MACHINE), new("tonight")], bounds=(0, 10_000))
    assert last == ("tonight", 3000, 3640)


def test_words_alone_in_a_new_segment_fill_it() -> None:
    assert timed([kept(MACHINE[3])], [new("yes"), new("yes")], bounds=(4000, 5000))[1:] == [
        ("yes", 4000, 4500),
        ("yes", 4500, 5000),
    ]


def test_without_room_a_word_has_no_length() -> None:
    assert timed([kept(MACHINE[0]), new("x"), kept(MACHINE[1])])[1] == ("x", 1300, 1300)


def test_between_words_that_overlap_the_new_one_lies_in_the_overlap() -> None:
    words = timed([("a", 100, 500), new("b"), ("c", 300, 700)])
    assert words[1] == ("b", 300, 500)


def test_a_word_sent_with_spaces_becomes_several() -> None:
    assert timed([("New York", 1000, 1700), new("is  here")])[:2] == [("New", 1000, 1300), ("York", 1300, 1700)]


def test_a_word_after_the_media_is_refused() -> None:
    with pytest.raises(DraftRejected, match="'late' ends after the media"):
        with_times(draft([("late", 10_000, 10_001)]), MACHINE, 10_000)


@st.composite
def drafts(draw: st.DrawFn) -> tuple[Draft, list[Word]]:
    """A machine's transcript whose words may overlap, and a draft with some of them deleted, others typed."""
    steps = draw(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), max_size=20))
    machine, start_ms, end_ms = [], 0, 0
    for step, length in steps:
        start_ms = start_ms + step
        end_ms = max(end_ms, start_ms + length)
        machine.append(word(draw(st.sampled_from(["a", "bb", "ccc"])), start_ms, end_ms))
    segments: list[list[tuple[str, int | None, int | None]]] = [[]]
    for machine_word in machine:
        segments[-1] += [new(draw(st.sampled_from(["a", "dddd"]))) for _ in range(draw(st.integers(0, 2)))]
        if draw(st.booleans()):
            segments[-1].append(kept(machine_word))
        if draw(st.integers(0, 4)) == 0:
            segments.append([])
    segments[-1] += [new("end")] * draw(st.integers(0, 3))
    edge = draw(st.integers(0, 10_000))
    return draft(*segments, bounds=(draw(st.integers(0, edge)), edge)), machine


@given(drafts())
@settings(max_examples=300, deadline=None)
def test_kept_times_stay_and_no_time_decreases(case: tuple[Draft, list[Word]]) -> None:
    given_draft, machine = case
    words = [word for segment in with_times(given_draft, machine, 20_000) for word in segment.words]
    sent = [word for segment in given_draft.segments for word in segment.words]
    assert [word.text for word in words] == [word.text for word in sent]
    assert all(after == tuple(before) for before, after in zip(sent, words, strict=True) if before.start_ms is not None)
    assert all(0 <= word.start_ms <= word.end_ms <= 20_000 for word in words)
    assert all(a.start_ms <= b.start_ms and a.end_ms <= b.end_ms for a, b in pairwise(words))
