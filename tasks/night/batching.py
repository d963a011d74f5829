"""Splitting arrivals into batches of equal work, so that their pods end together."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable

from tasks.media.container.duration_estimate import estimate_duration_s
from tasks.night.inbox import suffix
from tasks.night.records import Arrival

# Overhead of a programme of any length: opening, publishing.
FIXED_S = 20.0
# Programmes that failed before get a batch of their own, up to this many: if they fail again, no other does with them.
MAX_SINGLE_BATCHES = 100
# Smaller batches are not worth a pod, nor on a laptop the nine core seconds that their libraries take to load.
MIN_BATCH_S = 150.0


def estimate_work_s(arrival: Arrival) -> float:
    """Estimate a programme's work, as seconds of audio, from its size and suffix."""
    return FIXED_S + estimate_duration_s(suffix(arrival.uri), arrival.n_bytes)


def balance_batches(arrivals: Iterable[Arrival], n_batches: int) -> list[tuple[Arrival, ...]]:
    """Split arrivals into at most `n_batches` batches, none empty or too small: longest first to the least loaded batch
    (Graham's LPT: at most 4/3 of the optimum).

    Files of equal size may be copies, which a batch decodes once: they stay together, unless they exceed a batch's fair
    share, as a logger's hourly files do. Programmes that failed in an earlier night get additional batches of their
    own. The result does not depend on the order of the arrivals; within a batch they are sorted by URI.
    """
    ordered = sorted(arrivals, key=lambda arrival: (-estimate_work_s(arrival), arrival.uri))
    failed_before = [arrival for arrival in ordered if arrival.failures][:MAX_SINGLE_BATCHES]
    failed_uris = {arrival.uri for arrival in failed_before}
    by_size: dict[int, list[Arrival]] = defaultdict(list)
    for arrival in ordered:
        if arrival.uri not in failed_uris:
            by_size[arrival.n_bytes].append(arrival)
    total_s = sum(map(_load_s, by_size.values()))
    n_shared = min(n_batches, max(1, int(total_s // MIN_BATCH_S)))
    groups: list[list[Arrival]] = []
    for group in by_size.values():
        groups += [group] if _load_s(group) <= total_s / n_shared else [[arrival] for arrival in group]
    groups.sort(key=lambda group: (-_load_s(group), group[0].uri))
    batches: list[list[Arrival]] = [[] for _ in range(min(n_shared, len(groups)))]
    loads = [(0.0, index) for index in range(len(batches))]
    for group in groups:
        load_s, index = heapq.heappop(loads)
        batches[index] += group
        heapq.heappush(loads, (load_s + _load_s(group), index))
    batches += [[arrival] for arrival in failed_before]
    return [tuple(sorted(batch, key=lambda arrival: arrival.uri)) for batch in batches]


def _load_s(group: Iterable[Arrival]) -> float:
    return sum(map(estimate_work_s, group))
