from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from tasks.night.batching import MIN_BATCH_S, balance_batches, estimate_work_s
from tests.tasks.night.builders import arrival

sizes = st.lists(st.integers(0, 10**10), max_size=40)


@given(sizes, st.integers(1, 8))
def test_every_arrival_is_in_one_batch_and_none_is_empty(sizes: list[int], n_batches: int) -> None:
    arrivals = [arrival(f"p{n}", size) for n, size in enumerate(sizes)]
    batches = balance_batches(arrivals, n_batches)
    assert sorted(a.uri for batch in batches for a in batch) == sorted(a.uri for a in arrivals)
    assert len(batches) <= n_batches
    assert all(batches)


@given(sizes, st.integers(1, 8), st.randoms())
def test_order_does_not_matter(sizes: list[int], n_batches: int, rng: random.Random) -> None:
    arrivals = [arrival(f"p{n}", size) for n, size in enumerate(sizes)]
    shuffled = list(arrivals)
    rng.shuffle(shuffled)
    assert balance_batches(shuffled, n_batches) == balance_batches(arrivals, n_batches)


@given(st.lists(st.integers(1, 10**10), min_size=1, max_size=40, unique=True), st.integers(1, 8))
def test_no_batch_takes_much_longer_than_it_must(sizes: list[int], n_batches: int) -> None:
    arrivals = [arrival(f"p{n}", size) for n, size in enumerate(sizes)]
    loads = [sum(map(estimate_work_s, batch)) for batch in balance_batches(arrivals, n_batches)]
    # Graham 1966: LPT is within 4/3 of the best; the best is at least the mean and the longest programme.
    least = max(sum(loads) / n_batches, max(map(estimate_work_s, arrivals)), MIN_BATCH_S)
    # With two on one machine the best may itself be their sum.
    alone = sorted(map(estimate_work_s, arrivals), reverse=True)
    if len(alone) > n_batches:
        least = max(least, alone[n_batches - 1] + alone[n_batches])
    # One batch more would have less than is worth it: then the loads are up to twice that.
    assert max(loads) <= 4 / 3 * least + MIN_BATCH_S


@given(sizes, st.integers(1, 8))
def test_no_more_batches_than_are_worth_it(sizes: list[int], n_batches: int) -> None:
    arrivals = [arrival(f"p{n}", size) for n, size in enumerate(sizes)]
    batches = balance_batches(arrivals, n_batches)
    assert len(batches) <= max(1, sum(map(estimate_work_s, arrivals)) / MIN_BATCH_S)


def test_what_failed_before_is_in_a_batch_of_its_own() -> None:
    hour = 3600 * 192_000
    arrivals = [arrival(f"p{n}", n * hour) for n in range(1, 7)]
    arrivals[2], arrivals[3] = (a.model_copy(update={"failures": 1}) for a in arrivals[2:4])
    batches = balance_batches(arrivals, 2)
    assert len(batches) == 4
    assert {(arrivals[2],), (arrivals[3],)} < set(batches)


def test_one_that_failed_takes_no_other_of_its_size_with_it() -> None:
    hours = [arrival(f"hour-{n:02d}", 3600 * 192_000 + 44) for n in range(4)]
    hours[1] = hours[1].model_copy(update={"failures": 1})
    assert balance_batches(hours, 1) == [(hours[0], hours[2], hours[3]), (hours[1],)]


def test_copies_stay_together() -> None:
    hour = 3600 * 192_000
    arrivals = [arrival("a", hour), arrival("copy-of-a", hour), arrival("b", 3 * hour), arrival("c", 2 * hour)]
    (with_copies,) = [batch for batch in balance_batches(arrivals, 2) if arrivals[0] in batch]
    assert arrivals[1] in with_copies


def test_a_loggers_hourly_files_are_distributed() -> None:
    """They have equal sizes but are not copies."""
    hours = [arrival(f"hour-{n:02d}", 3600 * 192_000 + 44) for n in range(24)]
    assert [len(batch) for batch in balance_batches(hours, 4)] == [6, 6, 6, 6]
