"""Arrivals cut into batches of equal work, so that their pods end together."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable

from tasks.media import estimate
from tasks.night.inbox import suffix
from tasks.night.records import Arrival

# What a programme costs whatever its length: opening, publishing.
FIXED_S = 20.0
# So many programmes that failed before get a batch each, beside the others': what fails there harms no other.
MOST_ALONE = 100
# A batch of less is not worth a pod, nor on a laptop the nine seconds of a core that its libraries take to load.
LEAST_BATCH_S = 150.0


def estimated_s(arrival: Arrival) -> float:
    """A guess of a programme's duration, from its size and its suffix."""
    return FIXED_S + estimate.estimated_s(suffix(arrival.uri), arrival.n_bytes)


def balanced(arrivals: Iterable[Arrival], n_batches: int) -> list[tuple[Arrival, ...]]:
    """At most `n_batches` batches that are worth a process, none empty, largest first to the least loaded (Graham's
    LPT: 4/3 of the best).

    Files of equal size stay together: they may be copies, and a batch decodes its copies once. What failed in a night
    before comes in batches of its own besides. The same arrivals in any order give the same batches; inside a batch
    they are ordered by URI.
    """
    alike: dict[int, list[Arrival]] = defaultdict(list)
    for arrival in arrivals:
        alike[arrival.n_bytes].append(arrival)
    groups = sorted(alike.values(), key=lambda group: (-sum(map(estimated_s, group)), min(a.uri for a in group)))
    alone = [group for group in groups if any(arrival.failures for arrival in group)][:MOST_ALONE]
    groups = [group for group in groups if group not in alone]
    worthwhile = int(sum(estimated_s(arrival) for group in groups for arrival in group) // LEAST_BATCH_S)
    batches: list[list[Arrival]] = [[] for _ in range(min(n_batches, len(groups), max(1, worthwhile)))]
    loads = [(0.0, index) for index in range(len(batches))]
    for group in groups:
        load_s, index = heapq.heappop(loads)
        batches[index] += group
        heapq.heappush(loads, (load_s + sum(map(estimated_s, group)), index))
    return [tuple(sorted(batch, key=lambda arrival: arrival.uri)) for batch in batches + alone]
