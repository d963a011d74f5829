"""Batches made ahead of the model by a thread, and how long the model had to wait for them."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from training.data.order import EpochOrder, Pool, Position
from training.data.shards import ShardReader, Utterance, UtteranceIndex

AHEAD_BATCHES = 4
Made = TypeVar("Made")


@dataclass(frozen=True)
class Loaded(Generic[Made]):
    """A batch with its place in the order."""

    position: Position
    batch: Made


class BatchLoader(Generic[Made]):
    """Iterates over batches from a position on, without end.

    `make(position, utterances)` turns utterances into what the model takes; it runs in the thread, so what is random
    in it must depend on the position alone.
    """

    def __init__(
        self,
        reader: ShardReader,
        index: UtteranceIndex,
        order: EpochOrder,
        start: Position,
        make: Callable[[Position, list[Utterance]], Made],
    ) -> None:
        self._reader, self._index, self._order, self._make = reader, index, order, make
        self._groups: dict[int, list[Utterance]] = {}
        self._queue: queue.Queue[Loaded[Made] | BaseException] = queue.Queue(AHEAD_BATCHES)
        self._closed = threading.Event()
        self.waited_s = 0.0
        self._thread = threading.Thread(target=self._work, args=(start,), name="batches", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Loaded[Made]]:
        while True:
            began = time.monotonic()
            item = self._queue.get()
            self.waited_s += time.monotonic() - began
            if isinstance(item, BaseException):
                raise item
            yield item

    def close(self) -> None:
        """Stop the thread and let its memory go."""
        self._closed.set()
        while self._thread.is_alive():
            self._drain()
            self._thread.join(0.05)

    def _drain(self) -> None:
        while not self._queue.empty():
            self._queue.get_nowait()

    def _work(self, start: Position) -> None:
        try:
            for position, pool, batch in self._order.batches_from(start):
                self._hold(pool)
                utterances = [self._groups[int(self._index.group[u])][int(self._index.row[u])] for u in batch]
                made = Loaded(position, self._make(position, utterances))
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
