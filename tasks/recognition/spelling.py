"""What the company's texts look like: an n-gram model over a recogniser's symbols, to be heard beside the audio.

A small acoustic model hears "rech nine degreaes": the sounds are right and the spelling is not. The texts of the
dataset that it was fine-tuned on know better. The model predicts symbols, not words, so a name that it never saw can
still be written. Probabilities are interpolated by Witten and Bell's rule (1991).
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tasks.recognition.guide import Table

FILE_NAME = "spelling.json.gz"
GZIP_MAGIC = b"\x1f\x8b"
ORDER = 9
MOST_CONTEXTS = 5_000_000  # learned from the texts: 630 bytes each, which is 3 GB
_START = "\x1f"
_FIRST = 0x20  # symbols are kept as characters from here on, so that a context is a string


@dataclass
class SpellingModel:
    """Counts of what follows each context of up to `order - 1` symbols.

    `weight` scales the model's log probability against the acoustic one, `bonus` is added for every symbol (without
    it, a model that multiplies probabilities prefers short texts). Both were chosen on the validation split.
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
            if len(counts) > MOST_CONTEXTS:
                break
        return cls(n_symbols, {context: dict(following) for context, following in counts.items()}, order)

    @property
    def start(self) -> str:
        """The context at the beginning of a text."""
        return _START

    def extend(self, context: str, symbol: int) -> str:
        """The context after one more symbol."""
        return (context + chr(symbol + _FIRST))[-(self.order - 1) :]

    def known(self, context: str) -> str:
        """The part of a context that says something: its longest end that occurs in the texts.

        Whatever follows, the longer context would never say more.
        """
        while context and context not in self.counts:
            context = context[1:]
        return context

    def probabilities(self, context: str) -> np.ndarray:
        """Of each symbol to come next after a known context, `(n_symbols,)` float64."""
        mixed = np.full(self.n_symbols, 1 / self.n_symbols)
        for start in range(len(context), -1, -1):
            mixed = self.mix(context[start:], mixed)
        return mixed

    def mix(self, context: str, shorter: np.ndarray) -> np.ndarray:
        """The probabilities after `context`, from those after the context that is one symbol shorter."""
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
        """Write the model beside the acoustic model's files; equal models give equal bytes."""
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
        """The model in a folder, or None where there is none."""
        path = folder / FILE_NAME
        if not path.is_file():
            return None
        data = path.read_bytes()
        # MLflow 3.17's client unpacks what is named .gz when it takes it straight from S3.
        return cls(**json.loads(gzip.decompress(data) if data.startswith(GZIP_MAGIC) else data))


def _encode(ids: Sequence[int]) -> str:
    return "".join(chr(symbol + _FIRST) for symbol in ids)


class SpellingGuide:
    """The spelling model in a beam search: its places are known contexts."""

    def __init__(self, model: SpellingModel) -> None:
        self._model = model
        self._table = self._empty_table()

    def _empty_table(self) -> Table[str]:
        return Table(self._model.n_symbols, self._log_probabilities, self._successor)

    @property
    def start(self) -> int:
        if self._table.is_full:
            self._table = self._empty_table()  # between two searches, when nobody holds a state
        return self._table.state(self._model.known(self._model.start))

    def scores(self, states: np.ndarray, symbols: np.ndarray) -> np.ndarray:
        """See `Guide.scores`."""
        return self._model.weight * self._table.values[states[:, :, None], symbols[:, None, :]] + self._model.bonus

    def follow(self, states: np.ndarray, symbols: np.ndarray) -> np.ndarray:
        """See `Guide.follow`."""
        return self._table.follow(states, symbols)

    def close(self, states: np.ndarray) -> np.ndarray:
        """See `Guide.close`: nothing is known of ends."""
        return np.zeros(states.shape)

    def _successor(self, context: str, symbol: int) -> str:
        return self._model.known(self._model.extend(context, symbol))

    def _log_probabilities(self, context: str) -> np.ndarray:
        if context:
            state = self._table.state(self._model.known(context[1:]))
            shorter = np.exp(self._table.values[state].astype(np.float64))
        else:
            shorter = np.full(self._model.n_symbols, 1 / self._model.n_symbols)
        return np.asarray(np.log(self._model.mix(context, shorter)))
