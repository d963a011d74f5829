from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tasks.recognition.packing import pack, split_evenly

lengths = st.lists(st.integers(1, 3000), max_size=60)


@given(lengths, st.integers(1, 5000))
def test_every_item_once_and_no_batch_above_the_budget(lengths: list[int], budget: int) -> None:
    batches = pack(lengths, budget)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[index] for index in batch) <= budget


@given(lengths)
def test_items_of_one_length_fill_their_batches(lengths: list[int]) -> None:
    same = [100] * len(lengths)
    assert len(pack(same, 1000)) == -(-len(same) // 10)


@given(lengths, st.integers(1, 10))
def test_even_batches_keep_the_order_and_differ_by_one_at_most(items: list[int], max_size: int) -> None:
    batches = split_evenly(items, max_size)
    assert [item for batch in batches for item in batch] == items
    assert len(batches) == -(-len(items) // max_size)
    assert max(map(len, batches), default=0) - min(map(len, batches), default=0) <= 1


@given(lengths, st.integers(1, 10), st.integers(1, 4))
def test_every_worker_gets_the_same_number_of_batches(items: list[int], max_size: int, workers: int) -> None:
    batches = split_evenly(items, max_size, workers)
    assert [item for batch in batches for item in batch] == items
    assert max(map(len, batches), default=0) <= max_size
    assert len(batches) % workers == 0 or len(batches) == len(items)
