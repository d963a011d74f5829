from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tasks.recognition.packing import evenly, pack

lengths = st.lists(st.integers(1, 3000), max_size=60)


@given(lengths, st.integers(1, 5000))
def test_every_item_once_and_no_batch_above_the_budget(lengths: list[int], budget: int) -> None:
    batches = pack(lengths, budget)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[index] for index in batch) <= budget


@given(lengths)
def test_items_of_one_length_waste_nothing(lengths: list[int]) -> None:
    same = [100] * len(lengths)
    assert len(pack(same, 1000)) == -(-len(same) // 10)


@given(lengths, st.integers(1, 10))
def test_even_batches_are_in_order_and_alike(items: list[int], most: int) -> None:
    batches = evenly(items, most)
    assert [item for batch in batches for item in batch] == items
    assert len(batches) == -(-len(items) // most)
    assert max(map(len, batches), default=0) - min(map(len, batches), default=0) <= 1


@given(lengths, st.integers(1, 10), st.integers(1, 4))
def test_every_worker_has_as_many_batches_as_the_others(items: list[int], most: int, workers: int) -> None:
    batches = evenly(items, most, workers)
    assert [item for batch in batches for item in batch] == items
    assert max(map(len, batches), default=0) <= most
    assert len(batches) % workers == 0 or len(batches) == len(items)
