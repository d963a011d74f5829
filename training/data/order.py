"""The data order of an epoch: a pure function of seed and epoch, so that only the position in it must be saved.

An epoch shuffles the row groups of all shards, takes them in pools that fit in memory, buckets a pool's utterances by
length into batches, and shuffles the batches. To resume, the order is recomputed and entered at the saved batch; only
that batch's pool is read again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from training.data.shards import UtteranceIndex

LENGTH_JITTER = 0.05  # reorders utterances of similar length, so that batches differ between epochs


@dataclass(frozen=True)
class Position:
    """A run's position in the data: the next batch to train on."""

    epoch: int = 0
    batch: int = 0


@dataclass(frozen=True)
class Pool:
    """Row groups held in memory together, and the batches made of them, as utterance indices."""

    groups: tuple[int, ...]
    batches: tuple[np.ndarray, ...]


class EpochOrder:
    """Batches of one split, each of at most `batch_frames` frames including padding."""

    def __init__(self, index: UtteranceIndex, batch_frames: int, pool_frames: int, seed: int) -> None:
        """`pool_frames` bounds a pool's memory: 160 bytes per frame of 80 mels."""
        self._index, self._batch_frames, self._pool_frames, self._seed = index, batch_frames, pool_frames, seed
        self._members = _by_group(index.group)
        read = index.n_frames * index.n_rows  # each of several joined rows is read with its whole window
        self._group_frames = {g: int(read[members].sum()) for g, members in self._members.items()}

    def pools(self, epoch: int) -> Iterator[Pool]:
        """Yield the epoch's pools: always the same for the same epoch."""
        groups = np.random.default_rng([self._seed, epoch]).permutation(sorted(self._members))
        for number, pool in enumerate(self._pooled(groups)):
            rng = np.random.default_rng([self._seed, epoch, number])
            utterances = np.concatenate([self._members[g] for g in pool])
            batches = cut_batches(utterances, self._index.n_frames[utterances], self._batch_frames, rng)
            yield Pool(tuple(pool), tuple(batches[i] for i in rng.permutation(len(batches))))

    def pools_from(self, position: Position) -> Iterator[tuple[Pool, list[tuple[Position, np.ndarray]]]]:
        """Yield pools endlessly from `position` on, each with its remaining batches and their positions."""
        epoch, first = position.epoch, position.batch
        while True:
            number = 0
            for pool in self.pools(epoch):
                placed = [(Position(epoch, n), batch) for n, batch in enumerate(pool.batches, number) if n >= first]
                number += len(pool.batches)
                if placed:
                    yield pool, placed
            epoch, first = epoch + 1, 0

    def _pooled(self, groups: np.ndarray) -> Iterator[list[int]]:
        pool: list[int] = []
        n_frames = 0
        for group in groups.tolist():
            if pool and n_frames + self._group_frames[group] > self._pool_frames:
                yield pool
                pool, n_frames = [], 0
            pool.append(group)
            n_frames += self._group_frames[group]
        if pool:
            yield pool


def cut_batches(
    utterances: np.ndarray, n_frames: np.ndarray, batch_frames: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Sort utterances by length, and cut where padding to the longest would exceed `batch_frames`.

    An utterance longer than `batch_frames` forms a batch of its own.
    """
    jittered = n_frames * rng.uniform(1 - LENGTH_JITTER, 1 + LENGTH_JITTER, len(n_frames))
    batches: list[np.ndarray] = []
    start, longest = 0, 0
    order = np.argsort(jittered, kind="stable")
    for end, i in enumerate(order):
        longest_with = max(longest, int(n_frames[i]))
        if end > start and (end + 1 - start) * longest_with > batch_frames:
            batches.append(utterances[order[start:end]])
            start, longest_with = end, int(n_frames[i])
        longest = longest_with
    if len(order):
        batches.append(utterances[order[start:]])
    return batches


def _by_group(group: np.ndarray) -> dict[int, np.ndarray]:
    """Return the indices of each group's utterances."""
    order = np.argsort(group, kind="stable")
    numbers, starts = np.unique(group[order], return_index=True)
    return {int(g): part for g, part in zip(numbers, np.split(order, starts[1:]), strict=True)}
