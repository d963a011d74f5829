"""Splits and shards: balanced, stable when the corpus grows, and never a test programme in training."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.corpus.inventory.planning import (
    SPLIT_CODES,
    TOLERANCE,
    UNASSIGNED,
    assign_shards,
    assign_splits,
    number_of_shards,
)
from tasks.dataset.manifest import Split

TRAIN, VALIDATION, TEST = (SPLIT_CODES[split] for split in (Split.TRAIN, Split.VALIDATION, Split.TEST))


def fresh(n: int) -> np.ndarray:
    return np.full(n, UNASSIGNED)


def hashes(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 1 << 62, n)


@pytest.mark.parametrize("n_shards", [1, 4, 800])
def test_a_large_corpus_is_cut_evenly(n_shards: int) -> None:
    weights = np.random.default_rng(0).lognormal(20, 0.8, 200_000).astype(np.int64)
    loads = np.bincount(assign_shards(weights, fresh(len(weights)), n_shards), weights=weights)
    assert len(loads) == n_shards
    assert loads.max() <= loads.mean() * (1 + TOLERANCE)


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=60), st.integers(1, 10))
def test_no_shard_is_heavier_than_the_mean_and_its_heaviest_programme(weights: list[int], n_shards: int) -> None:
    loads = np.zeros(n_shards)
    shards = assign_shards(np.array(weights), fresh(len(weights)), n_shards)
    np.add.at(loads, shards, weights)
    assert loads.max() <= loads.mean() + max(weights)


@given(st.lists(st.integers(1, 10**6), min_size=2, max_size=60), st.integers(1, 10), st.randoms())
def test_one_more_programme_touches_one_shard(weights: list[int], n_shards: int, random) -> None:
    before = assign_shards(np.array(weights[1:]), fresh(len(weights) - 1), n_shards)
    place = random.randrange(len(weights))
    previous = np.insert(before, place, UNASSIGNED)
    after = assign_shards(np.insert(np.array(weights[1:]), place, weights[0]), previous, n_shards)
    np.testing.assert_array_equal(np.delete(after, place), before)


def test_shards_are_rebalanced_after_deletions() -> None:
    weights = np.full(10_000, 7)
    before = assign_shards(weights, fresh(10_000), 10)
    left = ~((before == 3) & (np.arange(10_000) % 3 > 0))
    after = assign_shards(weights[left], before[left], 10)
    loads = np.bincount(after, weights=weights[left], minlength=10)
    assert loads.max() <= loads.mean() * (1 + TOLERANCE)
    moved = (after != before[left]).sum()
    assert moved <= 1000  # no more than the gap


@pytest.mark.parametrize(
    ("hours", "before", "expected"),
    [
        (0.0, 0, 4),
        (30.0, 0, 4),
        (100.0, 0, 12),
        (2000.0, 0, 236),
        (10_000.0, 0, 800),
        (110.0, 12, 12),  # slightly more data keeps the shards
        (200.0, 12, 24),
        (50.0, 12, 6),
        (0.5, 2, 4),
    ],
)
def test_shards_have_about_a_gigabyte(hours: float, before: int, expected: int) -> None:
    assert number_of_shards(hours, before) == expected


def test_fewer_shards_than_before() -> None:
    weights = np.arange(1, 101)
    before = assign_shards(weights, fresh(100), 10)
    assert set(assign_shards(weights, before, 4)) == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("n", "expected"), [(1, (1, 0, 0)), (2, (1, 0, 1)), (3, (1, 1, 1)), (10, (8, 1, 1)), (100, (80, 8, 12))]
)
def test_every_split_gets_its_share_and_at_least_one(n: int, expected: tuple[int, int, int]) -> None:
    splits = assign_splits(hashes(n), fresh(n), validation_share=0.08, test_share=0.12)
    assert tuple((splits == code).sum() for code in (TRAIN, VALIDATION, TEST)) == expected


def test_a_split_without_a_share_is_empty() -> None:
    assert set(assign_splits(hashes(50), fresh(50), 0.0, 0.0)) == {TRAIN}


@given(st.integers(1, 80), st.integers(1, 20), st.integers(0, 5))
def test_groups_stay_together_and_keep_their_split(n: int, n_groups: int, seed: int) -> None:
    groups = hashes(n_groups, seed)[np.random.default_rng(seed).integers(0, n_groups, n)]
    before = assign_splits(groups, fresh(n), 0.2, 0.2)
    for group in np.unique(groups):
        assert len(set(before[groups == group])) == 1
    more = np.concatenate([groups, hashes(10, seed + 100), groups[:3]])
    after = assign_splits(more, np.concatenate([before, fresh(10 + len(groups[:3]))]), 0.2, 0.2)
    np.testing.assert_array_equal(after[:n], before)
    np.testing.assert_array_equal(after[n + 10 :], before[:3])


def test_the_order_of_the_programmes_does_not_matter() -> None:
    groups = hashes(200)
    order = np.random.default_rng(1).permutation(200)
    splits = assign_splits(groups, fresh(200), 0.1, 0.1)
    np.testing.assert_array_equal(assign_splits(groups[order], fresh(200), 0.1, 0.1), splits[order])
