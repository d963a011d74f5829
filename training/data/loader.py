"""Batches made ahead of the model by threads, and how long the model had to wait for them."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from training.data.order import EpochOrder, Pool, Position
from training.data.shards import ShardReader, Utterance, UtteranceIndex

AHEAD_BATCHES = 4
Made = TypeVar("Made")


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
        self._groups: dict[int, list[Utterance]] = {}
        self._making = ThreadPoolExecutor(threads, thread_name_prefix="batch")
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
        self._making.shutdown(cancel_futures=True)

    def _drain(self) -> None:
        while not self._queue.empty():
            self._queue.get_nowait()

    def _work(self, start: Position) -> None:
        try:
            for position, pool, batch in self._order.batches_from(start):
                self._hold(pool)
                mine = [int(batch[place]) for place in self._share.of(len(batch))]
                utterances = [self._groups[int(self._index.group[u])][int(self._index.row[u])] for u in mine]
                longest_s = float(self._index.duration_s[batch].max())
                made = position, self._making.submit(self._make, Draw(position, len(batch), longest_s, utterances))
                while not self._closed.is_set():
                    try:
                        self._queue.put(made, timeout=0.2)
                        break
                    except queue.Full:
                        continue
                if self._closed.is_set():
                    return
        except BaseException as fault:
            self._queue.put(fault)

    def _hold(self, pool: Pool) -> None:
        """Exactly this pool's row groups in memory; those that were there already are not read again."""
        if len(self._groups) == len(pool.groups) and all(g in self._groups for g in pool.groups):
            return
        self._groups = {g: self._groups[g] for g in pool.groups if g in self._groups}
        for group in pool.groups:
            if group not in self._groups:
                self._groups[group] = self._reader.read(group)
