"""Which chunks go through a model together."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

T = TypeVar("T")


def pack(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Indexes of `lengths` in batches, longest first, each at most `budget` long with its padding counted.

    Neighbours in length share a batch, so little is padded. An item above the budget goes alone. The longest batch
    comes first: if memory does not suffice, that shows at once.
    """
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if batches and (len(batches[-1]) + 1) * lengths[batches[-1][0]] <= budget:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


def evenly(items: Sequence[T], most: int, at_a_time: int = 1) -> list[Sequence[T]]:
    """`items` in order, in as few batches of at most `most` as there can be, none more than one item larger.

    Where `at_a_time` batches are worked on, their number is a multiple of it, if there are enough items.
    """
    n_batches = -(-len(items) // most)
    n_batches = min(-(-n_batches // at_a_time) * at_a_time, len(items))
    edges = [len(items) * number // n_batches for number in range(n_batches + 1)] if items else []
    return [items[start:end] for start, end in pairwise(edges)]
