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

    Files of equal size may be copies, which a batch decodes once: they stay together, unless they are more than a
    batch's fair share, as a logger's hours are. What failed in a night before comes in batches of its own besides. The
    same arrivals in any order give the same batches; inside a batch they are ordered by URI.
    """
    ordered = sorted(arrivals, key=lambda arrival: (-estimated_s(arrival), arrival.uri))
    alone = [arrival for arrival in ordered if arrival.failures][:MOST_ALONE]
    apart = {arrival.uri for arrival in alone}
    alike: dict[int, list[Arrival]] = defaultdict(list)
    for arrival in ordered:
        if arrival.uri not in apart:
            alike[arrival.n_bytes].append(arrival)
    total_s = sum(map(_load_s, alike.values()))
    n_worthwhile = min(n_batches, max(1, int(total_s // LEAST_BATCH_S)))
    groups: list[list[Arrival]] = []
    for group in alike.values():
        groups += [group] if _load_s(group) <= total_s / n_worthwhile else [[arrival] for arrival in group]
    groups.sort(key=lambda group: (-_load_s(group), group[0].uri))
    batches: list[list[Arrival]] = [[] for _ in range(min(n_worthwhile, len(groups)))]
    loads = [(0.0, index) for index in range(len(batches))]
    for group in groups:
        load_s, index = heapq.heappop(loads)
        batches[index] += group
        heapq.heappush(loads, (load_s + _load_s(group), index))
    batches += [[arrival] for arrival in alone]
    return [tuple(sorted(batch, key=lambda arrival: arrival.uri)) for batch in batches]


def _load_s(group: Iterable[Arrival]) -> float:
    return sum(map(estimated_s, group))
