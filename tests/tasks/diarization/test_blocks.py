from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tasks.diarization.blocks import (
    BlockSpeaker,
    crop,
    labels_by_first_turn,
    link_speakers,
    remove_overlaps,
    split_into_blocks,
)
from tasks.transcripts.spans import Span, Turn

edges = st.lists(st.integers(0, 400), max_size=40, unique=True).map(sorted)


def spans(numbers: list[int]) -> list[Span]:
    return [Span(a, b) for a, b in zip(numbers[0::2], numbers[1::2], strict=False)]


@given(edges, st.integers(1, 500))
def test_blocks_contain_all_speech_and_are_short_enough(numbers: list[int], max_ms: int) -> None:
    speech = spans(numbers)
    found = split_into_blocks(speech, max_ms)
    held = {ms for block in found for ms in range(block.start_ms, block.end_ms)}
    assert {ms for span in speech for ms in range(span.start_ms, span.end_ms)} <= held
    assert all(0 < block.end_ms - block.start_ms <= max_ms for block in found)
    assert all(a.end_ms <= b.start_ms for a, b in pairwise(found))


def test_the_split_is_in_the_longest_late_pause() -> None:
    speech = [Span(0, 40), Span(300, 500), Span(510, 700), Span(760, 900), Span(905, 1400)]
    assert split_into_blocks(speech, 1000) == [Span(0, 700), Span(760, 1400)]


def test_speech_without_a_pause_is_split_at_the_limit() -> None:
    assert split_into_blocks([Span(100, 2600)], 1000) == [Span(100, 1100), Span(1100, 2100), Span(2100, 2600)]


def voices(*placed: tuple[int, float]) -> list[BlockSpeaker]:
    """Block and angle, in degrees, of each."""
    return [
        BlockSpeaker(block, str(n), np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))]), 10.0)
        for n, (block, angle) in enumerate(placed)
    ]


def test_near_embeddings_are_one_speaker() -> None:
    assert link_speakers(voices((0, 0), (0, 90), (1, 85), (1, 5), (2, 180)), 0.5) == [0, 1, 1, 0, 2]


def test_speakers_of_one_block_are_never_merged() -> None:
    assert link_speakers(voices((0, 0), (0, 4), (1, 1), (1, 5)), 0.5) == [0, 1, 0, 1]


def test_the_norm_of_an_embedding_has_no_effect() -> None:
    near, far = voices((0, 0), (1, 3))
    assert link_speakers([near, BlockSpeaker(1, "1", far.embedding * 40, far.speech_s)], 0.5) == [0, 0]


def test_speakers_without_embeddings_are_not_merged() -> None:
    unknown = [BlockSpeaker(n, "0", np.full(2, np.nan), 0.0) for n in range(2)]
    silent = BlockSpeaker(2, "0", np.zeros(2), 0.0)
    assert link_speakers([*unknown, silent], 2.0) == [0, 1, 2]
    assert link_speakers([], 0.5) == []


@given(st.lists(st.tuples(st.integers(0, 4), st.floats(0, 360)), max_size=12))
def test_a_speaker_occurs_once_in_a_block(placed: list[tuple[int, float]]) -> None:
    found = voices(*placed)
    numbers = link_speakers(found, 0.8)
    pairs = [(number, voice.block) for number, voice in zip(numbers, found, strict=True)]
    assert len(set(pairs)) == len(pairs)
    assert set(numbers) == set(range(len(set(numbers))))


def test_labels_follow_the_first_turns() -> None:
    turns = [Turn(900, 950, "x"), Turn(100, 300, "z"), Turn(100, 200, "y")]
    assert labels_by_first_turn(turns) == {"y": "S1", "z": "S2", "x": "S3"}


def test_the_turn_that_begins_first_keeps_the_overlap() -> None:
    turns = [Turn(0, 1000, "a"), Turn(400, 480, "b"), Turn(900, 1500, "b"), Turn(1500, 1600, "a")]
    assert remove_overlaps(turns) == [Turn(0, 1000, "a"), Turn(1000, 1500, "b"), Turn(1500, 1600, "a")]


@given(edges, st.lists(st.tuples(st.integers(0, 400), st.integers(1, 80), st.sampled_from("ab")), max_size=12))
def test_turns_are_cropped_to_spans(numbers: list[int], made: list[tuple[int, int, str]]) -> None:
    turns = [Turn(start, start + length, name) for start, length, name in made]

    def covered(some: list[Turn], speaker: str) -> set[int]:
        return {ms for turn in some if turn.speaker == speaker for ms in range(turn.start_ms, turn.end_ms)}

    inside = {ms for span in spans(numbers) for ms in range(span.start_ms, span.end_ms)}
    found = crop(turns, spans(numbers))
    for speaker in "ab":
        assert covered(found, speaker) == covered(turns, speaker) & inside
