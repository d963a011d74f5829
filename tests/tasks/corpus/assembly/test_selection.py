"""Selection, duplicates and leaks, on synthetic rows."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tasks.contract import Reason
from tasks.corpus.assembly.selection import Rows, find_repeats, leaking_audio, leaking_programmes, select
from tasks.corpus.inventory.planning import SPLIT_CODES
from tasks.dataset.manifest import Split

CODES = st.sampled_from(sorted(SPLIT_CODES.values()))
HELD_OUT_FIRST = [SPLIT_CODES[split] for split in (Split.TEST, Split.VALIDATION, Split.TRAIN)]


def rows_with(
    sounds: list[int],
    programmes: list[int],
    splits: list[int],
    errors: list[float] | None = None,
    programme_sounds: list[int] | None = None,
    reviewed: list[bool] | None = None,
) -> Rows:
    n = len(splits)
    return Rows(
        digest=np.array([[sound, 0, 0, 1] for sound in sounds], np.uint64).reshape(n, 4),
        programme=np.array(programmes, np.int64),
        programme_audio=np.array(programme_sounds or range(1000, 1000 + n), np.uint64),
        split=np.array(splits, np.int8),
        shard=np.zeros(n, np.int32),
        row=np.arange(n, dtype=np.int32),
        duration_ms=np.full(n, 1000),
        match_error=np.array(errors or [np.nan] * n, np.float32),
        reviewed=np.array(reviewed or [False] * n, bool),
    )


def test_of_two_copies_in_a_split_the_reviewed_one_is_kept() -> None:
    rows = rows_with([1, 1], [1, 2], [0, 0], programme_sounds=[7, 7], reviewed=[False, True])
    assert select(rows, max_match_error=0.5).kept.tolist() == [False, True]


@given(st.lists(st.tuples(st.integers(0, 4), CODES, st.booleans()), max_size=12))
def test_one_copy_of_each_audio_is_kept_preferably_held_out(made: list[tuple[int, int, bool]]) -> None:
    sounds, splits, candidates = ([row[column] for row in made] for column in range(3))
    rows = rows_with(sounds, list(range(len(made))), splits)
    among = np.array(candidates, bool)
    kept = among & ~find_repeats(rows, among)
    assert not (find_repeats(rows, among) & ~among).any()
    assert len(leaking_audio(rows, kept)) == 0
    for sound in set(sounds):
        copies = [i for i, s in enumerate(sounds) if s == sound and candidates[i]]
        left = [i for i in copies if kept[i]]
        assert left == sorted(copies, key=lambda i: (HELD_OUT_FIRST.index(splits[i]), i))[:1]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), CODES), max_size=12))
def test_leaks_are_found_wherever_they_are(made: list[tuple[int, int, int]]) -> None:
    sounds, programmes, splits = ([row[column] for row in made] for column in range(3))
    rows = rows_with(sounds, programmes, splits)

    def in_two_splits(keys: list[int]) -> set[int]:
        return {key for key in keys if len({s for k, s in zip(keys, splits, strict=True) if k == key}) > 1}

    assert set(leaking_programmes(rows).tolist()) == in_two_splits(programmes)
    assert set(leaking_audio(rows, np.ones(len(rows), bool)).tolist()) == in_two_splits(sounds)


def test_of_two_copies_the_one_with_a_matching_caption_is_kept() -> None:
    """Even if the other one is held out or comes first."""
    test, train = SPLIT_CODES[Split.TEST], SPLIT_CODES[Split.TRAIN]
    rows = rows_with([1, 1, 1, 2], [1, 2, 3, 4], [test, train, train, train], [0.9, 0.1, 0.2, 0.50001])
    selection = select(rows, max_match_error=0.5)
    assert selection.dropped[Reason.MATCH_ERROR].tolist() == [True, False, False, True]
    assert selection.dropped[Reason.DUPLICATE].tolist() == [False, False, True, False]
    assert selection.kept.tolist() == [False, True, False, False]


def test_a_programme_that_occurs_twice_is_used_once() -> None:
    """Its captions are cut differently, so no utterance is equal; the held-out copy is kept."""
    test, train = SPLIT_CODES[Split.TEST], SPLIT_CODES[Split.TRAIN]
    rows = rows_with(
        sounds=[1, 2, 3, 4, 5],
        programmes=[10, 10, 20, 20, 30],
        splits=[train, train, test, test, train],
        programme_sounds=[7, 7, 7, 7, 8],
    )
    everything = np.ones(len(rows), bool)
    assert leaking_audio(rows, everything).tolist() == [7]
    selection = select(rows, max_match_error=0.5)
    assert selection.kept.tolist() == [False, False, True, True, True]
    assert len(leaking_audio(rows, selection.kept)) == 0


def test_a_copy_with_a_mismatched_caption_displaces_no_other() -> None:
    test, train = SPLIT_CODES[Split.TEST], SPLIT_CODES[Split.TRAIN]
    rows = rows_with([1, 2], [10, 20], [test, train], errors=[0.9, 0.1], programme_sounds=[7, 7])
    assert select(rows, max_match_error=0.5).kept.tolist() == [False, True]
