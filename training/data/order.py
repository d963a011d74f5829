"""The order of an epoch: a pure function of seed and epoch, so a position in it is all there is to save.

An epoch shuffles the row groups of all shards, takes them in pools that fit in memory, shuffles a pool's utterances,
cuts them into batches of like length, and shuffles the batches. To resume, the order is made again and begins at the
batch where it stopped; only that batch's pool is read again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from training.data.shards import UtteranceIndex

LENGTH_JITTER = 0.05  # neighbours in length change places, so batches differ between epochs


@dataclass(frozen=True)
class Position:
    """Where in the data a run stands: the next batch to train on."""

    epoch: int = 0
    batch: int = 0


@dataclass(frozen=True)
class Pool:
    """Row groups that lie in memory together, and the batches made of them: utterance numbers of the index."""

    groups: tuple[int, ...]
    batches: tuple[np.ndarray, ...]


class EpochOrder:
    """Batches of one split, whose padded size is at most `batch_frames`."""

    def __init__(self, index: UtteranceIndex, batch_frames: int, pool_frames: int, seed: int) -> None:
        """`pool_frames` bounds what a pool takes in memory: 160 bytes a frame of 80 mels."""
        self._index, self._batch_frames, self._pool_frames, self._seed = index, batch_frames, pool_frames, seed
        self._members = _by_group(index.group)
        self._group_frames = {g: int(index.n_frames[members].sum()) for g, members in self._members.items()}

    def pools(self, epoch: int) -> Iterator[Pool]:
        """The epoch's pools, one after the other. Always the same for the same epoch."""
        groups = np.random.default_rng([self._seed, epoch]).permutation(sorted(self._members))
        for number, pool in enumerate(self._pooled(groups)):
            rng = np.random.default_rng([self._seed, epoch, number])
            utterances = np.concatenate([self._members[g] for g in pool])
            batches = cut_batches(utterances, self._index.n_frames[utterances], self._batch_frames, rng)
            yield Pool(tuple(pool), tuple(batches[i] for i in rng.permutation(len(batches))))

    def pools_from(self, position: Position) -> Iterator[tuple[Pool, list[tuple[Position, np.ndarray]]]]:
        """Endless pools from `position` on, each with its batches that are still to come and their positions."""
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
    """Utterances by length, cut where padding to the longest would pass `batch_frames`.

    An utterance longer than `batch_frames` makes a batch alone.
    """
    jittered = n_frames * rng.uniform(1 - LENGTH_JITTER, 1 + LENGTH_JITTER, len(n_frames))
    batches: list[np.ndarray] = []
    start, longest = 0, 0
    order = np.argsort(jittered, kind="stable")
    for end, place in enumerate(order):
        longest_with = max(longest, int(n_frames[place]))
        if end > start and (end + 1 - start) * longest_with > batch_frames:
            batches.append(utterances[order[start:end]])
            start, longest_with = end, int(n_frames[place])
        longest = longest_with
    if len(order):
        batches.append(utterances[order[start:]])
    return batches


def _by_group(group: np.ndarray) -> dict[int, np.ndarray]:
    """The utterances of each group, as numbers of the index."""
    order = np.argsort(group, kind="stable")
    numbers, starts = np.unique(group[order], return_index=True)
    return {int(g): part for g, part in zip(numbers, np.split(order, starts[1:]), strict=True)}
