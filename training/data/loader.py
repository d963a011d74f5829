"""Prefetches batches in threads, and measures how long the model waits for them."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np

from training.data.joining import join
from training.data.order import EpochOrder, Pool, Position
from training.data.shards import ShardReader, TrainingUtterance, UtteranceIndex

PREFETCH_BATCHES = 4
MAX_PREVIOUS = 8  # utterances before one that make up its `previous_text`
BatchT = TypeVar("BatchT")
Groups = dict[int, list[TrainingUtterance]]
"""Utterances of the row groups in memory, by row group."""


@dataclass(frozen=True)
class Share:
    """One rank's share of every batch."""

    rank: int = 0
    world_size: int = 1

    def indices(self, n: int) -> range:
        """Return this rank's indices among `n` items."""
        return range(self.rank, n, self.world_size)


@dataclass(frozen=True)
class BatchDraw:
    """A batch as drawn from the epoch's order, with the utterances of this rank's share."""

    position: Position
    n_utterances: int
    """In the whole batch."""
    longest_s: float
    """Duration of the longest utterance in the whole batch."""
    utterances: list[TrainingUtterance]
    """This rank's share."""


@dataclass(frozen=True)
class LoadedBatch(Generic[BatchT]):
    """A batch with its position in the order."""

    position: Position
    batch: BatchT


class BatchLoader(Generic[BatchT]):
    """Iterates endlessly over batches from a position on.

    While batches of one pool are made, the next pool is read: at most two are in memory.

    `make(draw)` collates utterances into a batch. It runs in `threads` threads in any order, so its randomness must
    depend on the position alone.
    """

    def __init__(
        self,
        reader: ShardReader,
        index: UtteranceIndex,
        order: EpochOrder,
        start: Position,
        make: Callable[[BatchDraw], BatchT],
        share: Share | None = None,
        threads: int = 1,
    ) -> None:
        self._reader, self._index, self._order = reader, index, order
        self._make, self._share = make, share or Share()
        self._making = ThreadPoolExecutor(threads, thread_name_prefix="batch")
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="batch-pool")
        self._queue: queue.Queue[tuple[Position, Future[BatchT]] | BaseException] = queue.Queue(
            PREFETCH_BATCHES * threads
        )
        self._closed = threading.Event()
        self.waited_s = 0.0
        self._thread = threading.Thread(target=self._work, args=(start,), name="batches", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[LoadedBatch[BatchT]]:
        while True:
            began = time.monotonic()
            item = self._queue.get()
            if isinstance(item, BaseException):
                raise item
            position, making = item
            made = making.result()
            self.waited_s += time.monotonic() - began
            yield LoadedBatch(position, made)

    def close(self) -> None:
        """Stop the threads and free their memory."""
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
                pool, next_batches = next(pools)
                reading = self._reading.submit(self._read, pool, groups)
                for position, batch in batches:
                    if not self._enqueue(position, self._draw(position, batch, groups)):
                        return
                batches = next_batches
        except BaseException as fault:
            self._queue.put(fault)

    def _draw(self, position: Position, batch: np.ndarray, groups: Groups) -> BatchDraw:
        share = [int(batch[i]) for i in self._share.indices(len(batch))]
        utterances = [_draw_utterance(self._index, u, groups) for u in share]
        return BatchDraw(position, len(batch), float(self._index.duration_s[batch].max()), utterances)

    def _enqueue(self, position: Position, draw: BatchDraw) -> bool:
        """Queue the batch. Returns False when the loader is closed."""
        made = position, self._making.submit(self._make, draw)
        while not self._closed.is_set():
            try:
                self._queue.put(made, timeout=0.2)
                return True
            except queue.Full:
                continue
        return False

    def _read(self, pool: Pool, held: Groups) -> Groups:
        """Read a pool's row groups, reusing those already in memory."""
        groups: Groups = {}
        for group in pool.groups:
            if self._closed.is_set():
                break
            groups[group] = held[group] if group in held else self._reader.read(group)
        return groups


def _draw_utterance(index: UtteranceIndex, number: int, groups: Groups) -> TrainingUtterance:
    """Return an utterance of the index, joined of its rows, with what was said before it."""
    rows, first = groups[int(index.group[number])], int(index.row[number])
    utterance = join(rows[first : first + int(index.n_rows[number])])
    before = [u.text for u in rows[max(0, first - MAX_PREVIOUS) : first] if u.programme_id == utterance.programme_id]
    return replace(utterance, previous_text=" ".join(before))
