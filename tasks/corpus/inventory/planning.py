"""Who goes where: programmes into splits and shards.

Both start from what an earlier scan decided and change only what they must. So one more programme touches one shard,
and a programme that was once held out for testing is never trained on later.
"""

from __future__ import annotations

import heapq
import math

import numpy as np

from tasks.dataset.manifest import Split

SPLIT_CODES = {Split.TRAIN: 0, Split.VALIDATION: 1, Split.TEST: 2}
NOT_YET = -1
HOURS_A_SHARD = 8.5  # of media: with features and audio 117 MB an hour, so about 1 GB
MIN_SHARDS, MAX_SHARDS = 4, 800  # fewer, and a small corpus keeps one core busy; more, and Airflow's mapping ends
KEPT_RATIO = 1.5  # an earlier number of shards stays until it is so far off
TOLERANCE = 0.05  # a shard may be so much heavier than the mean before programmes are moved


def assign_splits(groups: np.ndarray, previous: np.ndarray, validation_share: float, test_share: float) -> np.ndarray:
    """A split's code for each programme, `(n_programmes,)` int8.

    `groups` are 64-bit hashes of what must stay together (a date, or the programme alone), `previous` the codes of an
    earlier plan or `NOT_YET`. Each group goes whole into one split, and each split with a share gets at least one group
    as soon as there are enough. New groups fill up what a split lacks in the order of their hashes.
    """
    unique, place = np.unique(groups, return_inverse=True)  # ordered by hash: at random, and always the same
    codes = np.full(len(unique), NOT_YET, np.int8)
    known = previous != NOT_YET
    codes[place[known]] = previous[known]
    for code, n_wanted in _quotas(len(unique), validation_share, test_share):
        n_lacking = n_wanted - int((codes == code).sum())
        if n_lacking > 0:
            codes[np.flatnonzero(codes == NOT_YET)[:n_lacking]] = code
    codes[codes == NOT_YET] = SPLIT_CODES[Split.TRAIN]
    return np.where(known, previous, codes[place]).astype(np.int8)


def _quotas(n_groups: int, validation_share: float, test_share: float) -> list[tuple[int, int]]:
    """How many groups validation and test should have. Training comes first, then the test, then validation."""
    n_test = min(max(1, round(test_share * n_groups)), n_groups - 1) if test_share else 0
    left = n_groups - n_test - 1
    n_validation = min(max(1, round(validation_share * n_groups)), max(0, left)) if validation_share else 0
    return [(SPLIT_CODES[Split.TEST], n_test), (SPLIT_CODES[Split.VALIDATION], n_validation)]


def number_of_shards(hours: float, n_before: int) -> int:
    """How many shards suit a corpus of so many hours; `n_before` is the number of the earlier plan, 0 for none.

    Another number moves programmes out of every shard, which are all made anew then: so it grows in leaps.
    """
    wanted = min(MAX_SHARDS, max(MIN_SHARDS, math.ceil(hours / HOURS_A_SHARD)))
    return n_before if n_before / KEPT_RATIO <= wanted <= n_before * KEPT_RATIO else wanted


def assign_shards(weights: np.ndarray, previous: np.ndarray, n_shards: int) -> np.ndarray:
    """A shard's number for each programme, `(n_programmes,)` int32.

    Who was in a shard before stays there. The new ones go, heaviest first, to the lightest shard; then programmes move
    out of shards that are too heavy until the heaviest is within `TOLERANCE` of the mean, or within one programme.
    """
    shards = np.where((previous >= 0) & (previous < n_shards), previous, NOT_YET).astype(np.int32)
    placed = shards != NOT_YET
    loads = np.bincount(shards[placed], weights=weights[placed], minlength=n_shards).astype(np.int64)
    lightest = [(int(load), shard) for shard, load in enumerate(loads)]
    heapq.heapify(lightest)
    new = np.flatnonzero(~placed)
    for programme in new[np.argsort(-weights[new], kind="stable")].tolist():
        load, shard = lightest[0]
        heapq.heapreplace(lightest, (load + int(weights[programme]), shard))
        shards[programme] = shard
        loads[shard] += weights[programme]
    _even_out(weights, shards, loads)
    return shards


def _even_out(weights: np.ndarray, shards: np.ndarray, loads: np.ndarray) -> None:
    """Move programmes from shards that are too heavy to the lightest ones, in place."""
    mean = loads.sum() / len(loads)
    for heavy in np.argsort(-loads, kind="stable").tolist():
        if loads[heavy] <= mean * (1 + TOLERANCE):
            return
        members = np.flatnonzero(shards == heavy)
        members = members[np.argsort(-weights[members], kind="stable")]
        if loads[heavy] <= mean + weights[members[0]]:
            continue  # as even as its programmes allow: what is lightest would get as heavy
        for programme in members.tolist():
            weight = weights[programme]
            lightest = int(loads.argmin())
            if loads[heavy] - weight >= mean and loads[lightest] + weight <= mean * (1 + TOLERANCE):
                shards[programme] = lightest
                loads[heavy] -= weight
                loads[lightest] += weight
