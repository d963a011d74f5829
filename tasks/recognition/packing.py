"""Batches of chunks that go through a model together."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

T = TypeVar("T")


def pack(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Group the indexes of `lengths` into batches, longest first, each at most `budget` long including padding.

    Items of similar length share a batch, so that little is padded. An item above the budget gets its own batch. The
    longest batch comes first: if memory does not suffice, this shows at once.
    """
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if batches and (len(batches[-1]) + 1) * lengths[batches[-1][0]] <= budget:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


def split_evenly(items: Sequence[T], max_size: int, n_workers: int = 1) -> list[Sequence[T]]:
    """Split `items`, in order, into the fewest batches of at most `max_size`, with sizes that differ by at most one.

    With enough items the number of batches is a multiple of `n_workers`, so that each worker gets equally many.
    """
    n_batches = -(-len(items) // max_size)
    n_batches = min(-(-n_batches // n_workers) * n_workers, len(items))
    edges = [len(items) * index // n_batches for index in range(n_batches + 1)] if items else []
    return [items[start:end] for start, end in pairwise(edges)]
