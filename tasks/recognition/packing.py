"""Which chunks go through a model together."""

from __future__ import annotations

from collections.abc import Sequence


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
