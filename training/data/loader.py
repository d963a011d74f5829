"""Batches made ahead of the model by threads, and how long the model had to wait for them."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from training.data.order import EpochOrder, Pool, Position
from training.data.shards import ShardReader, Utterance, UtteranceIndex

AHEAD_BATCHES = 4
Made = TypeVar("Made")
Groups = dict[int, list[Utterance]]
"""Row groups in memory, by number."""


@dataclass(frozen=True)
class Share:
    """Which part of every batch a process takes, where several train together."""

    rank: int = 0
    world: int = 1

    def of(self, n: int) -> range:
        """Its places among `n`."""
        return range(self.rank, n, self.world)


@dataclass(frozen=True)
class Draw:
    """A batch of the order, and what this process has of it."""

    position: Position
    n_utterances: int
    """Of the whole batch."""
    longest_s: float
    """The longest utterance of the whole batch."""
    utterances: list[Utterance]
    """Those at this process's places."""


@dataclass(frozen=True)
class Loaded(Generic[Made]):
    """A batch with its place in the order."""

    position: Position
    batch: Made


class BatchLoader(Generic[Made]):
    """Iterates over batches from a position on, without end.

    While batches are made of one pool, the next one is read: two are in memory at most.

    `make(draw)` turns utterances into what the model takes; it runs in `threads` threads, in any order, so what is
    random in it must depend on the position alone.
    """

    def __init__(
        self,
        reader: ShardReader,
        index: UtteranceIndex,
        order: EpochOrder,
        start: Position,
        make: Callable[[Draw], Made],
        share: Share | None = None,
        threads: int = 1,
    ) -> None:
        self._reader, self._index, self._order = reader, index, order
        self._make, self._share = make, share or Share()
        self._making = ThreadPoolExecutor(threads, thread_name_prefix="batch")
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="batch-pool")
        self._queue: queue.Queue[tuple[Position, Future[Made]] | BaseException] = queue.Queue(AHEAD_BATCHES * threads)
        self._closed = threading.Event()
        self.waited_s = 0.0
        self._thread = threading.Thread(target=self._work, args=(start,), name="batches", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Loaded[Made]]:
        while True:
            began = time.monotonic()
            item = self._queue.get()
            if isinstance(item, BaseException):
                raise item
            position, making = item
            made = making.result()
            self.waited_s += time.monotonic() - began
            yield Loaded(position, made)

    def close(self) -> None:
        """Stop the threads and let their memory go."""
        self._closed.set()
        while self._thread.is_alive():
            self._drain()
            self._thread.join(0.05)
        for threads in (self._reading, self._making):
            threads.shutdown(cancel_futures=True)

    def _drain(self) -> None:
        while not self._queue.empty():
            self._queue.get_nowait()

    def _work(self, start: Position) -> None:
        try:
            pools = self._order.pools_from(start)
            pool, batches = next(pools)
            reading = self._reading.submit(self._read, pool, {})
            while True:
                groups = reading.result()
                if self._closed.is_set():
                    return
                pool, coming = next(pools)
                reading = self._reading.submit(self._read, pool, groups)
                for position, batch in batches:
                    if not self._hand_over(position, self._draw(position, batch, groups)):
                        return
                batches = coming
        except BaseException as fault:
            self._queue.put(fault)

    def _draw(self, position: Position, batch: np.ndarray, groups: Groups) -> Draw:
        mine = [int(batch[place]) for place in self._share.of(len(batch))]
        utterances = [groups[int(self._index.group[u])][int(self._index.row[u])] for u in mine]
        return Draw(position, len(batch), float(self._index.duration_s[batch].max()), utterances)

    def _hand_over(self, position: Position, draw: Draw) -> bool:
        """Whether it was taken; false when the loader is closed."""
        made = position, self._making.submit(self._make, draw)
        while not self._closed.is_set():
            try:
                self._queue.put(made, timeout=0.2)
                return True
            except queue.Full:
                continue
        return False

    def _read(self, pool: Pool, held: Groups) -> Groups:
        """A pool's row groups; those that are held already are not read again."""
        groups: Groups = {}
        for group in pool.groups:
            if self._closed.is_set():
                break
            groups[group] = held[group] if group in held else self._reader.read(group)
        return groups
