"""The order of batches: complete, bounded, and resumable at any position."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.data.order import EpochOrder, Position, cut_batches
from training.data.shards import UtteranceIndex


def make_index(n_frames: list[int], rows_per_group: int = 10) -> UtteranceIndex:
    numbers = np.arange(len(n_frames), dtype=np.int32)
    frames = np.array(n_frames, np.int32)
    return UtteranceIndex(
        numbers // rows_per_group,
        numbers % rows_per_group,
        frames,
        (frames / 50).astype(np.float32),
        np.ones_like(numbers),
    )


frame_counts = st.lists(st.integers(1, 800), min_size=1, max_size=120)


@settings(max_examples=60, deadline=None)
@given(frame_counts, st.integers(50, 3000), st.integers(100, 20_000), st.integers(0, 5))
def test_an_epoch_holds_every_utterance_once(
    n_frames: list[int], batch_frames: int, pool_frames: int, epoch: int
) -> None:
    order = EpochOrder(make_index(n_frames), batch_frames, pool_frames, seed=3)
    seen = [int(u) for pool in order.pools(epoch) for batch in pool.batches for u in batch]
    assert sorted(seen) == list(range(len(n_frames)))


@settings(max_examples=60, deadline=None)
@given(frame_counts, st.integers(50, 3000))
def test_padding_is_counted(n_frames: list[int], batch_frames: int) -> None:
    frames = np.array(n_frames)
    for batch in cut_batches(np.arange(len(frames)), frames, batch_frames, np.random.default_rng(0)):
        assert len(batch) == 1 or len(batch) * frames[batch].max() <= batch_frames


@settings(max_examples=40, deadline=None)
@given(frame_counts, st.integers(100, 20_000))
def test_a_pool_fits_in_memory(n_frames: list[int], pool_frames: int) -> None:
    index = make_index(n_frames)
    for pool in EpochOrder(index, 1000, pool_frames, seed=1).pools(0):
        held = sum(int(index.n_frames[index.group == group].sum()) for group in pool.groups)
        assert held <= pool_frames or len(pool.groups) == 1


@settings(max_examples=40, deadline=None)
@given(frame_counts, st.integers(0, 60))
def test_any_position_continues_the_same_order(n_frames: list[int], skipped: int) -> None:
    whole = list(islice(batches_from(n_frames, Position()), skipped + 8))
    resumed = list(islice(batches_from(n_frames, whole[skipped][0]), 8))
    for (position, batch), (other_position, other) in zip(whole[skipped:], resumed, strict=True):
        assert position == other_position
        np.testing.assert_array_equal(batch, other)


def batches_from(n_frames: list[int], position: Position) -> Iterator[tuple[Position, np.ndarray]]:
    for _, batches in EpochOrder(make_index(n_frames), 1000, 3000, seed=7).pools_from(position):
        yield from batches


def test_epochs_and_seeds_differ() -> None:
    index = make_index(list(range(40, 140)))

    def first(seed: int, epoch: int) -> list[int]:
        order = EpochOrder(index, 2000, 10**6, seed)
        return [int(u) for pool in order.pools(epoch) for batch in pool.batches for u in batch]

    assert first(0, 0) != first(0, 1)
    assert first(0, 0) != first(1, 0)
    assert first(0, 0) == first(0, 0)


def test_length_buckets_pad_little() -> None:
    rng = np.random.default_rng(0)
    frames = rng.integers(20, 800, 2000)
    batches = cut_batches(np.arange(2000), frames, 8000, rng)
    padded = sum(len(b) * frames[b].max() for b in batches)
    assert padded / frames.sum() < 1.08


def test_row_groups_of_different_shards_meet_in_one_pool() -> None:
    index = make_index([100] * 400, rows_per_group=20)
    pools = list(EpochOrder(index, 1000, 8000, seed=0).pools(0))
    spread = [max(pool.groups) - min(pool.groups) for pool in pools]
    assert len(pools) == pytest.approx(5, abs=1)
    assert max(spread) > 8
