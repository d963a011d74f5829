"""Words and names that a programme is expected to hold: helped in the beam search, and written as they were given."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tasks.recognition.engine import Word
from tasks.recognition.greedy import Symbol
from tasks.recognition.guide import Table

# What each character of an expected word is worth, as a natural logarithm. On the demo's inbox (11 minutes, 217 names,
# each programme with its own list) 1.0 finds 208 of the names, 0.3 finds 205, nothing 202; without a spelling model
# 205, 186 and 143. The error rate falls from 6.9 to 6.4 %, from 36 to 30 % without spelling; 1.5 gives no more.
BOOST = 1.0
LARGEST_LIST_BYTES = 1 << 18
MOST_PHRASES = 2_000
LONGEST_PHRASE = 60
_INSIDE_WORDS = "'-"


def parse(text: str) -> tuple[str, ...]:
    """The phrases of a list: one a line, without what follows a `#`, empty lines and repeats."""
    phrases: dict[str, None] = {}
    for line in text.splitlines():
        phrase = " ".join(unicodedata.normalize("NFC", line.lstrip("\ufeff").partition("#")[0]).split())
        if phrase and len(phrase) <= LONGEST_PHRASE and any(map(str.isalnum, phrase)):
            phrases.setdefault(phrase)
    return tuple(phrases)[:MOST_PHRASES]


def written(words: Sequence[Word], phrases: Iterable[str]) -> tuple[Word, ...]:
    """Words with those that spell a phrase written as the phrase is: `david ellis,` becomes `David Ellis,`."""
    by_first: dict[str, list[list[str]]] = {}
    for phrase in phrases:
        parts = phrase.split()
        by_first.setdefault(_key(parts[0]), []).append(parts)
    for candidates in by_first.values():
        candidates.sort(key=len, reverse=True)
    keys = [_key(word.text) for word in words]
    found = list(words)
    position = 0
    while position < len(words):
        length = 1
        for parts in by_first.get(keys[position], ()):
            if keys[position : position + len(parts)] == [_key(part) for part in parts]:
                length = len(parts)
                for index, part in enumerate(parts, position):
                    found[index] = replace(words[index], text=_with_marks(words[index].text, part))
                break
        position += length
    return tuple(found)


def _key(text: str) -> str:
    """What two writings of one word have in common."""
    return "".join(c for c in text.casefold() if c.isalnum() or c in _INSIDE_WORDS) or text


def _with_marks(said: str, part: str) -> str:
    """`part` between the marks that stand around the word that was said."""
    marks = re.fullmatch(r"(\W*)(.*?)(\W*)", said, flags=re.DOTALL)
    assert marks is not None
    before, _, after = marks.groups()
    return before + part.strip() + ("" if part.endswith(after) else after)


@dataclass
class _Node:
    """A place in the tree of phrases."""

    path: str
    children: dict[str, int] = field(default_factory=dict)
    ends_phrase: bool = False
    banked: float = 0.0
    """Earned by the phrase that ended on the way here and is certain."""
    earned: float = 0.0


class VocabularyGuide:
    """Expected phrases in a beam search: its places are those of a tree of them.

    Every character of a phrase earns `boost`, from the first on, so that the beam does not lose it; what was earned is
    given back if the phrase is not said to its end. Phrases begin where words begin.
    """

    _ROOT, _LOST = 0, 1
    """Before a word, and inside one that no phrase begins with."""

    def __init__(self, phrases: Iterable[str], symbols: Sequence[Symbol], boost: float = BOOST) -> None:
        written_by = [(" " if symbol.opens_word else "") + symbol.text.decode(errors="replace") for symbol in symbols]
        is_cased = any(text != text.lower() for text in written_by)
        self._symbols = written_by
        self._nodes = [_Node(""), _Node("")]
        self._by_path = {"": self._ROOT}
        for phrase in phrases:
            self._grow(_spoken(phrase if is_cased else phrase.lower()), boost)
        self._table: Table[int] = Table(len(symbols), self._row, self._successor)

    def _grow(self, phrase: str, boost: float) -> None:
        node, place = self._nodes[self._ROOT], self._ROOT
        for character in phrase:
            if character not in node.children:
                child = _Node(node.path + character)
                node.children[character] = self._by_path[child.path] = len(self._nodes)
                self._nodes.append(child)
            place = node.children[character]
            before, node = node, self._nodes[place]
            node.earned = before.earned + (boost if character != " " else 0.0)
            ended = character == " " and before.ends_phrase
            node.banked = max(node.banked, before.earned if ended else before.banked)
        node.ends_phrase = bool(phrase)
        for character, place in node.children.items():
            if character == " ":
                self._bank(place, node.earned)

    def _bank(self, place: int, earned: float) -> None:
        """A phrase was added that longer ones, known before, begin with."""
        node = self._nodes[place]
        node.banked = max(node.banked, earned)
        for child in node.children.values():
            self._bank(child, earned)

    @property
    def start(self) -> int:
        return self._table.state(self._ROOT)

    def scores(self, states: np.ndarray, symbols: np.ndarray) -> np.ndarray:
        """See `Guide.scores`."""
        return self._table.values[states[:, :, None], symbols[:, None, :]]

    def follow(self, states: np.ndarray, symbols: np.ndarray) -> np.ndarray:
        """See `Guide.follow`."""
        return self._table.follow(states, symbols)

    def close(self, states: np.ndarray) -> np.ndarray:
        """See `Guide.close`: a phrase that is not complete gives back what it earned."""
        nodes = (self._nodes[place] for place in self._table.places)
        owed = np.array([0.0 if node.ends_phrase else node.banked - node.earned for node in nodes])
        return owed[states]

    def _row(self, place: int) -> np.ndarray:
        return np.array([self._walk(place, text)[1] for text in self._symbols])

    def _successor(self, place: int, symbol: int) -> int:
        return self._walk(place, self._symbols[symbol])[0]

    def _walk(self, place: int, text: str) -> tuple[int, float]:
        """The place after some characters, and what they earn."""
        total = 0.0
        for character in text:
            place, earned = self._step(place, character)
            total += earned
        return place, total

    def _step(self, place: int, character: str) -> tuple[int, float]:
        node = self._nodes[place]
        child = node.children.get(character)
        if child is not None:
            return child, self._nodes[child].earned - node.earned
        outside = self._ROOT if character == " " else self._LOST
        ends_word = not (character.isalnum() or character in _INSIDE_WORDS)
        if ends_word and node.ends_phrase:
            return outside, 0.0
        owed = node.banked - node.earned
        # "new york" was begun and "new jersey" is said: the last words may still begin another phrase.
        after = self._later_beginning(node.path)
        if after is None:
            return outside, owed
        begun = self._nodes[after]
        place, earned = self._step(after, character)
        return place, owed + begun.earned - begun.banked + earned

    def _later_beginning(self, path: str) -> int | None:
        """The longest end of a path, from a word's start on, that another phrase begins with."""
        while " " in path:
            path = path.partition(" ")[2]
            if path in self._by_path:
                return self._by_path[path]
        return None


def _spoken(phrase: str) -> str:
    """The characters of a phrase that a recogniser writes inside words, and single spaces."""
    kept = "".join(c if c.isalnum() or c in _INSIDE_WORDS else " " if c.isspace() else "" for c in phrase)
    return " ".join(kept.split())
