"""Shallow fusion: scorers that a beam search adds to the acoustic score, as automata over a recogniser's symbols."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar

import numpy as np

TABLE_BYTES = 128 << 20  # limit for the table of computed scores and transitions


class FusionScorer(Protocol):
    """Scores each symbol given the prefix before it, which a state represents, an integer."""

    @property
    def start(self) -> int:
        """The state of the empty prefix."""

    def scores(self, states: np.ndarray, symbols: np.ndarray) -> np.ndarray:
        """Log scores of `symbols` `(n_utterances, n)` after `states` `(n_utterances, beam)`:
        `(n_utterances, beam, n)`."""

    def advance(self, states: np.ndarray, symbols: np.ndarray) -> np.ndarray:
        """Return the states after `symbols` follow `states`, both `(n,)`."""

    def final_scores(self, states: np.ndarray) -> np.ndarray:
        """Return the log scores of texts that end in `states`, of any shape."""


Node = TypeVar("Node", bound=Hashable)


class LazyAutomaton(Generic[Node]):
    """An automaton whose states are computed when they are first reached. A node is the scorer's own name of a state.

    `score_symbols(node)` gives a node's scores, `(n_symbols,)`; `successor(node, symbol)` gives the node that follows.
    """

    def __init__(
        self,
        n_symbols: int,
        score_symbols: Callable[[Node], np.ndarray],
        successor: Callable[[Node, int], Node],
    ) -> None:
        self._score_symbols, self._successor = score_symbols, successor
        self.nodes: list[Node] = []
        self._states: dict[Node, int] = {}
        self.values = np.zeros((64, n_symbols), dtype=np.float32)  # (n_states, n_symbols)
        self._next = np.full((64, n_symbols), -1, dtype=np.int32)  # (n_states, n_symbols)

    @property
    def is_full(self) -> bool:
        return self.values.nbytes + self._next.nbytes > TABLE_BYTES

    def state(self, node: Node) -> int:
        """Return a node's state."""
        state = self._states.get(node)
        if state is None:
            row = self._score_symbols(node)  # this may add other states
            state = self._states[node] = len(self.nodes)
            self.nodes.append(node)
            if state == len(self.values):
                self.values = np.concatenate([self.values, np.zeros_like(self.values)])
                self._next = np.concatenate([self._next, np.full_like(self._next, -1)])
            self.values[state] = row
        return state

    def advance(self, states: np.ndarray, symbols: np.ndarray) -> np.ndarray:
        """See `FusionScorer.advance`."""
        successors = self._next[states, symbols]
        for index in np.flatnonzero(successors < 0):
            state, symbol = int(states[index]), int(symbols[index])
            successor = self.state(self._successor(self.nodes[state], symbol))
            self._next[state, symbol] = successors[index] = successor
        return successors
