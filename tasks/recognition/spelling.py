"""What the company's texts look like: an n-gram model over a recogniser's symbols, to be heard beside the audio.

A small acoustic model hears "rech nine degreaes": the sounds are right and the spelling is not. The texts of the
dataset that it was fine-tuned on know better. The model predicts symbols, not words, so a name that it never saw can
still be written. Probabilities are interpolated by Witten and Bell's rule (1991).
"""

from __future__ import annotations

import gzip
import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

FILE_NAME = "spelling.json.gz"
ORDER = 9
MOST_SYMBOLS = 20_000_000  # read from the texts; more would not fit in memory as Python counts
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
    _cache: dict[str, list[float]] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def learn(cls, texts: Iterable[Sequence[int]], n_symbols: int, order: int = ORDER) -> SpellingModel:
        """Count the symbols of texts, each a sequence of symbol ids."""
        counts: dict[str, Counter[str]] = {}
        seen = 0
        for ids in texts:
            text = _START + _encode(ids)
            for end in range(1, len(text)):
                for length in range(min(order, end + 1)):
                    context = text[end - length : end]
                    counts.setdefault(context, Counter())[text[end]] += 1
            seen += len(text)
            if seen > MOST_SYMBOLS:
                break
        return cls(n_symbols, {context: dict(following) for context, following in counts.items()}, order)

    @property
    def start(self) -> str:
        """The context at the beginning of a text."""
        return _START

    def extend(self, context: str, symbol: int) -> str:
        """The context after one more symbol."""
        return (context + chr(symbol + _FIRST))[-(self.order - 1) :]

    def log_probabilities(self, context: str) -> list[float]:
        """Natural logarithms for each symbol to come next, `n_symbols` of them."""
        found = self._cache.get(context)
        if found is None:
            found = self._cache[context] = [math.log(p) for p in self._probabilities(context)]
        return found

    def _probabilities(self, context: str) -> list[float]:
        following = self.counts.get(context)
        if following is None:
            return self._probabilities(context[1:]) if context else [1 / self.n_symbols] * self.n_symbols
        shorter = self._probabilities(context[1:]) if context else [1 / self.n_symbols] * self.n_symbols
        kinds = len(following)
        total = sum(following.values()) + kinds
        mixed = [kinds * p / total for p in shorter]
        for character, count in following.items():
            mixed[ord(character) - _FIRST] += count / total
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
        return cls(**json.loads(gzip.decompress(path.read_bytes()))) if path.is_file() else None


def _encode(ids: Sequence[int]) -> str:
    return "".join(chr(symbol + _FIRST) for symbol in ids)
