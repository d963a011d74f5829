"""What may have a say in a beam search beside the audio: automata over a recogniser's symbols."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar

import numpy as np

TABLE_BYTES = 128 << 20  # worked out and kept


class Guide(Protocol):
    """Says how much it likes each symbol after what was said so far. What was said so far is a state, a number."""

    @property
    def start(self) -> int:
        """The state of an empty text."""

    def scores(self, states: np.ndarray, symbols: np.ndarray) -> np.ndarray:
        """Logarithms to add for `symbols` `(batch, n)` after `states` `(batch, beam)`: `(batch, beam, n)`."""

    def follow(self, states: np.ndarray, symbols: np.ndarray) -> np.ndarray:
        """The states after `symbols` were said in `states`, both `(n,)`."""

    def close(self, states: np.ndarray) -> np.ndarray:
        """Logarithms to add for texts that end in `states`, of any shape."""


Place = TypeVar("Place", bound=Hashable)


class Table(Generic[Place]):
    """An automaton of which only what is reached is worked out. Places are what the guide calls its states.

    `work_out(place)` gives a place's scores, `(n_symbols,)`; `successor(place, symbol)` the place that follows.
    """

    def __init__(
        self,
        n_symbols: int,
        work_out: Callable[[Place], np.ndarray],
        successor: Callable[[Place, int], Place],
    ) -> None:
        self._work_out, self._successor = work_out, successor
        self.places: list[Place] = []
        self._states: dict[Place, int] = {}
        self.values = np.zeros((64, n_symbols), dtype=np.float32)
        self._next = np.full((64, n_symbols), -1, dtype=np.int32)

    @property
    def is_full(self) -> bool:
        return self.values.nbytes + self._next.nbytes > TABLE_BYTES

    def state(self, place: Place) -> int:
        """A place's number."""
        state = self._states.get(place)
        if state is None:
            row = self._work_out(place)  # this may add others
            state = self._states[place] = len(self.places)
            self.places.append(place)
            if state == len(self.values):
                self.values = np.concatenate([self.values, np.zeros_like(self.values)])
                self._next = np.concatenate([self._next, np.full_like(self._next, -1)])
            self.values[state] = row
        return state

    def follow(self, states: np.ndarray, symbols: np.ndarray) -> np.ndarray:
        """See `Guide.follow`."""
        found = self._next[states, symbols]
        for index in np.flatnonzero(found < 0):
            state, symbol = int(states[index]), int(symbols[index])
            successor = self.state(self._successor(self.places[state], symbol))
            self._next[state, symbol] = found[index] = successor
        return found
