from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tasks.diarization.blocks import Voice, blocks, by_first_speech, one_at_a_time, same_speakers, within
from tasks.transcripts.spans import Span, Turn

edges = st.lists(st.integers(0, 400), max_size=40, unique=True).map(sorted)


def spans(numbers: list[int]) -> list[Span]:
    return [Span(a, b) for a, b in zip(numbers[0::2], numbers[1::2], strict=False)]


@given(edges, st.integers(1, 500))
def test_blocks_hold_all_speech_and_are_short_enough(numbers: list[int], longest_ms: int) -> None:
    speech = spans(numbers)
    found = blocks(speech, longest_ms)
    held = {ms for block in found for ms in range(block.start_ms, block.end_ms)}
    assert {ms for span in speech for ms in range(span.start_ms, span.end_ms)} <= held
    assert all(0 < block.end_ms - block.start_ms <= longest_ms for block in found)
    assert all(a.end_ms <= b.start_ms for a, b in pairwise(found))


def test_the_cut_is_in_the_longest_late_pause() -> None:
    speech = [Span(0, 40), Span(300, 500), Span(510, 700), Span(760, 900), Span(905, 1400)]
    assert blocks(speech, 1000) == [Span(0, 700), Span(760, 1400)]


def test_one_long_stretch_is_cut_hard() -> None:
    assert blocks([Span(100, 2600)], 1000) == [Span(100, 1100), Span(1100, 2100), Span(2100, 2600)]


def voices(*placed: tuple[int, float]) -> list[Voice]:
    """Block and angle, in degrees, of each."""
    return [
        Voice(block, str(n), np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))]), 10.0)
        for n, (block, angle) in enumerate(placed)
    ]


def test_near_voices_are_one_speaker() -> None:
    assert same_speakers(voices((0, 0), (0, 90), (1, 85), (1, 5), (2, 180)), 0.5) == [0, 1, 1, 0, 2]


def test_whom_a_block_tells_apart_stays_apart() -> None:
    assert same_speakers(voices((0, 0), (0, 4), (1, 1), (1, 5)), 0.5) == [0, 1, 0, 1]


def test_the_loudness_of_an_embedding_says_nothing() -> None:
    near, far = voices((0, 0), (1, 3))
    assert same_speakers([near, Voice(1, "1", far.embedding * 40, far.weight)], 0.5) == [0, 0]


def test_voices_that_nobody_knows_are_alone() -> None:
    unknown = [Voice(n, "0", np.full(2, np.nan), 0.0) for n in range(2)]
    silent = Voice(2, "0", np.zeros(2), 0.0)
    assert same_speakers([*unknown, silent], 2.0) == [0, 1, 2]
    assert same_speakers([], 0.5) == []


@given(st.lists(st.tuples(st.integers(0, 4), st.floats(0, 360)), max_size=12))
def test_speakers_never_share_a_block(placed: list[tuple[int, float]]) -> None:
    found = voices(*placed)
    numbers = same_speakers(found, 0.8)
    pairs = [(number, voice.block) for number, voice in zip(numbers, found, strict=True)]
    assert len(set(pairs)) == len(pairs)
    assert set(numbers) == set(range(len(set(numbers))))


def test_names_follow_first_speech() -> None:
    turns = [Turn(900, 950, "x"), Turn(100, 300, "z"), Turn(100, 200, "y")]
    assert by_first_speech(turns) == {"y": "S1", "z": "S2", "x": "S3"}


def test_who_began_first_is_heard_out() -> None:
    turns = [Turn(0, 1000, "a"), Turn(400, 480, "b"), Turn(900, 1500, "b"), Turn(1500, 1600, "a")]
    assert one_at_a_time(turns) == [Turn(0, 1000, "a"), Turn(1000, 1500, "b"), Turn(1500, 1600, "a")]


@given(edges, st.lists(st.tuples(st.integers(0, 400), st.integers(1, 80), st.sampled_from("ab")), max_size=12))
def test_turns_within_spans(numbers: list[int], made: list[tuple[int, int, str]]) -> None:
    turns = [Turn(start, start + length, name) for start, length, name in made]

    def covered(some: list[Turn], speaker: str) -> set[int]:
        return {ms for turn in some if turn.speaker == speaker for ms in range(turn.start_ms, turn.end_ms)}

    inside = {ms for span in spans(numbers) for ms in range(span.start_ms, span.end_ms)}
    found = within(turns, spans(numbers))
    for speaker in "ab":
        assert covered(found, speaker) == covered(turns, speaker) & inside
