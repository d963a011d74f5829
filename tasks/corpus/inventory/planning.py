"""Assign programmes to splits and shards.

Both start from the plan of an earlier scan and change as little as possible. So one more programme changes one shard,
and a programme that was once in the test split is never trained on later.
"""

from __future__ import annotations

import heapq
import math

import numpy as np

from tasks.dataset.manifest import Split

SPLIT_CODES = {Split.TRAIN: 0, Split.VALIDATION: 1, Split.TEST: 2}
UNASSIGNED = -1
HOURS_PER_SHARD = 8.5  # of media: 117 MB an hour with features and audio, so about 1 GB
MIN_SHARDS, MAX_SHARDS = 4, 800  # with fewer, a small corpus keeps one core busy; more exceed Airflow's task mapping
MAX_RATIO = 1.5  # the number of shards changes only if the wanted one differs by more than this factor
TOLERANCE = 0.05  # programmes are moved only from shards heavier than the mean by more than this


def assign_splits(groups: np.ndarray, previous: np.ndarray, validation_share: float, test_share: float) -> np.ndarray:
    """The split code of each programme, `(n_programmes,)` int8.

    `groups` are 64-bit hashes of what must stay together (a date, or the single programme), `previous` the codes of an
    earlier plan or `UNASSIGNED`. A group is never split up, and each split with a share gets at least one group as soon
    as there are enough. New groups fill splits up to their quota in the order of their hashes.
    """
    unique, place = np.unique(groups, return_inverse=True)  # ordered by hash: random but reproducible
    codes = np.full(len(unique), UNASSIGNED, np.int8)
    known = previous != UNASSIGNED
    codes[place[known]] = previous[known]
    for code, n_wanted in _quotas(len(unique), validation_share, test_share):
        n_lacking = n_wanted - int((codes == code).sum())
        if n_lacking > 0:
            codes[np.flatnonzero(codes == UNASSIGNED)[:n_lacking]] = code
    codes[codes == UNASSIGNED] = SPLIT_CODES[Split.TRAIN]
    return np.where(known, previous, codes[place]).astype(np.int8)


def _quotas(n_groups: int, validation_share: float, test_share: float) -> list[tuple[int, int]]:
    """The number of groups for test and validation. With few groups, training has priority, then test."""
    n_test = min(max(1, round(test_share * n_groups)), n_groups - 1) if test_share else 0
    left = n_groups - n_test - 1
    n_validation = min(max(1, round(validation_share * n_groups)), max(0, left)) if validation_share else 0
    return [(SPLIT_CODES[Split.TEST], n_test), (SPLIT_CODES[Split.VALIDATION], n_validation)]


def number_of_shards(hours: float, n_before: int) -> int:
    """The number of shards for a corpus of so many hours; `n_before` is that of the earlier plan, 0 for none.

    Another number moves programmes between all shards, which then have to be made again: so it changes in large steps.
    """
    wanted = min(MAX_SHARDS, max(MIN_SHARDS, math.ceil(hours / HOURS_PER_SHARD)))
    return n_before if n_before / MAX_RATIO <= wanted <= n_before * MAX_RATIO else wanted


def assign_shards(weights: np.ndarray, previous: np.ndarray, n_shards: int) -> np.ndarray:
    """The shard number of each programme, `(n_programmes,)` int32.

    Programmes stay in their previous shard. New ones go, heaviest first, to the lightest shard; then programmes move
    out of shards that are too heavy until the heaviest is within `TOLERANCE` of the mean, or within one programme.
    """
    shards = np.where((previous >= 0) & (previous < n_shards), previous, UNASSIGNED).astype(np.int32)
    placed = shards != UNASSIGNED
    loads = np.bincount(shards[placed], weights=weights[placed], minlength=n_shards).astype(np.int64)
    lightest = [(int(load), shard) for shard, load in enumerate(loads)]
    heapq.heapify(lightest)
    new = np.flatnonzero(~placed)
    for programme in new[np.argsort(-weights[new], kind="stable")].tolist():
        load, shard = lightest[0]
        heapq.heapreplace(lightest, (load + int(weights[programme]), shard))
        shards[programme] = shard
        loads[shard] += weights[programme]
    _rebalance(weights, shards, loads)
    return shards


def _rebalance(weights: np.ndarray, shards: np.ndarray, loads: np.ndarray) -> None:
    """Move programmes from shards that are too heavy to the lightest, in place."""
    mean = loads.sum() / len(loads)
    for heavy in np.argsort(-loads, kind="stable").tolist():
        if loads[heavy] <= mean * (1 + TOLERANCE):
            return
        members = np.flatnonzero(shards == heavy)
        members = members[np.argsort(-weights[members], kind="stable")]
        if loads[heavy] <= mean + weights[members[0]]:
            continue  # cannot be improved: one programme would make the lightest shard as heavy
        for programme in members.tolist():
            weight = weights[programme]
            lightest = int(loads.argmin())
            if loads[heavy] - weight >= mean and loads[lightest] + weight <= mean * (1 + TOLERANCE):
                shards[programme] = lightest
                loads[heavy] -= weight
                loads[lightest] += weight
