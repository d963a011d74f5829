"""The spelling model: an n-gram language model over a recogniser's symbols, for shallow fusion in the beam search.

A small acoustic model writes "rech nine degreaes": right sounds, wrong spelling. The n-grams are learned from the texts
of the dataset that it was fine-tuned on. They predict symbols, not words, so that unseen names can still be written.
Probabilities are interpolated by Witten and Bell's rule (1991).
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tasks.recognition.fusion import LazyAutomaton

FILE_NAME = "spelling.json.gz"
GZIP_MAGIC = b"\x1f\x8b"
ORDER = 9
MAX_CONTEXTS = 5_000_000  # a context takes 630 bytes: 3 GB
_START = "\x1f"
_FIRST = 0x20  # symbol ids are stored as characters from here on, so that a context is a string


@dataclass
class SpellingModel:
    """Counts of the symbols after each context of up to `order - 1` symbols.

    `weight` scales the model's log probability against the acoustic one; `bonus` is added for every symbol, since
    multiplied probabilities prefer short texts. Both are tuned on the validation split.
    """

    n_symbols: int
    counts: dict[str, dict[str, int]]
    order: int = ORDER
    weight: float = 0.0
    bonus: float = 0.0

    @classmethod
    def learn(cls, texts: Iterable[Sequence[int]], n_symbols: int, order: int = ORDER) -> SpellingModel:
        """Count the symbols of texts, each a sequence of symbol ids."""
        counts: dict[str, Counter[str]] = {}
        for ids in texts:
            text = _START + _encode(ids)
            for end in range(1, len(text)):
                for length in range(min(order, end + 1)):
                    context = text[end - length : end]
                    counts.setdefault(context, Counter())[text[end]] += 1
            if len(counts) > MAX_CONTEXTS:
                break
        return cls(n_symbols, {context: dict(following) for context, following in counts.items()}, order)

    @property
    def start(self) -> str:
        """The context at the start of a text."""
        return _START

    def extend(self, context: str, symbol: int) -> str:
        """Return the context after one more symbol."""
        return (context + chr(symbol + _FIRST))[-(self.order - 1) :]

    def longest_known(self, context: str) -> str:
        """Return the longest suffix of a context that occurs in the texts: the rest does not change any probability."""
        while context and context not in self.counts:
            context = context[1:]
        return context

    def probabilities(self, context: str) -> np.ndarray:
        """Return the probability of each next symbol after a known context, `(n_symbols,)` float64."""
        mixed = np.full(self.n_symbols, 1 / self.n_symbols)
        for start in range(len(context), -1, -1):
            mixed = self.mix(context[start:], mixed)
        return mixed

    def mix(self, context: str, shorter: np.ndarray) -> np.ndarray:
        """Interpolate the probabilities after `context` with `shorter`, those after the context without its first
        symbol."""
        following = self.counts.get(context)
        if not following:
            return shorter
        kinds = len(following)
        total = sum(following.values()) + kinds
        mixed = shorter * (kinds / total)
        symbols = [ord(character) - _FIRST for character in following]
        mixed[symbols] += np.fromiter(following.values(), dtype=np.float64) / total
        return mixed

    def save(self, folder: Path) -> None:
        """Write the model into an acoustic model's folder; equal models give equal bytes."""
        plain = {
            "n_symbols": self.n_symbols,
            "order": self.order,
            "weight": self.weight,
            "bonus": self.bonus,
            "counts": self.counts,
        }
        data = json.dumps(plain, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
        (folder / FILE_NAME).write_bytes(gzip.compress(data, mtime=0))

    @classmethod
    def load(cls, folder: Path) -> SpellingModel | None:
        """Load the spelling model of an acoustic model's folder; None if there is none."""
        path = folder / FILE_NAME
        if not path.is_file():
            return None
        data = path.read_bytes()
        # MLflow 3.17's client decompresses files named .gz when it downloads them directly from S3.
        return cls(**json.loads(gzip.decompress(data) if data.startswith(GZIP_MAGIC) else data))


def _encode(ids: Sequence[int]) -> str:
    return "".join(chr(symbol + _FIRST) for symbol in ids)


class SpellingScorer:
    """The spelling model as a fusion scorer. Its automaton's nodes are known contexts."""

    def __init__(self, model: SpellingModel) -> None:
        self._model = model
        self._automaton = self._new_automaton()

    def _new_automaton(self) -> LazyAutomaton[str]:
        return LazyAutomaton(self._model.n_symbols, self._log_probabilities, self._successor)

    @property
    def start(self) -> int:
        if self._automaton.is_full:
            self._automaton = self._new_automaton()  # between two searches no state is in use
        return self._automaton.state(self._model.longest_known(self._model.start))

    def scores(self, states: np.ndarray, symbols: np.ndarray) -> np.ndarray:
        """See `FusionScorer.scores`."""
        log_p = self._automaton.values[states[:, :, None], symbols[:, None, :]]  # (n_utterances, beam, n)
        return self._model.weight * log_p + self._model.bonus

    def advance(self, states: np.ndarray, symbols: np.ndarray) -> np.ndarray:
        """See `FusionScorer.advance`."""
        return self._automaton.advance(states, symbols)

    def final_scores(self, states: np.ndarray) -> np.ndarray:
        """See `FusionScorer.final_scores`: the model has no end of text."""
        return np.zeros(states.shape)

    def _successor(self, context: str, symbol: int) -> str:
        return self._model.longest_known(self._model.extend(context, symbol))

    def _log_probabilities(self, context: str) -> np.ndarray:
        if context:
            state = self._automaton.state(self._model.longest_known(context[1:]))
            shorter = np.exp(self._automaton.values[state].astype(np.float64))
        else:
            shorter = np.full(self._model.n_symbols, 1 / self._model.n_symbols)
        return np.asarray(np.log(self._model.mix(context, shorter)))
