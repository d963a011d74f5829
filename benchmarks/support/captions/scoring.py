"""Score utterances against what is said."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from benchmarks.support.captions.files import CaptionFile
from benchmarks.support.captions.script import Word

TOLERANCE_MS = 100
MAX_WORD_MS = 20_000  # longer than any


@dataclass(frozen=True)
class Taught:
    """A span of audio with the words that a model would be taught for it."""

    start_ms: int
    end_ms: int
    words: tuple[str, ...]


@dataclass
class Score:
    """Counts of words."""

    n_wanted: int = 0
    n_kept: int = 0
    n_taught: int = 0
    n_not_said: int = 0
    """Taught, but not said in that span, in another order, or taught before."""
    n_omitted: int = 0
    """Said within a span, between or beside its words, and not in its text."""
    missed: Counter[str] = field(default_factory=Counter)
    """Wanted and not kept, by condition."""
    wanted: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    """Of what is wrong, with file and time."""

    @property
    def kept_share(self) -> float:
        return self.n_kept / self.n_wanted if self.n_wanted else 1.0

    def __iadd__(self, other: Score) -> Score:
        for name in ("n_wanted", "n_kept", "n_taught", "n_not_said", "n_omitted"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.missed += other.missed
        self.wanted += other.wanted
        self.examples += other.examples
        return self


def score(file: CaptionFile, utterances: Iterable[Taught]) -> Score:
    """Compare the utterances of a file with its truth.

    An utterance's words are aligned with those that are said while it lasts, give or take 100 ms, by the longest common
    subsequence. A wanted word is kept if it is aligned and lies within the span, give or take 100 ms on each side. A
    word without a counterpart, or with one that was taught before, is taught and not said. A said word without one is
    omitted if its middle lies within the span, more than 100 ms from its ends.
    """
    found = Score()
    starts = [word.start_ms for word in file.words]
    kept: set[int] = set()
    taught: set[int] = set()
    for utterance in utterances:
        first = bisect_left(starts, utterance.start_ms - TOLERANCE_MS - MAX_WORD_MS)
        last = bisect_left(starts, utterance.end_ms + TOLERANCE_MS)
        near = [n for n in range(first, last) if _is_near(file.words[n], utterance)]
        pairs = _aligned(utterance.words, [file.words[n] for n in near], utterance)
        n_again = sum(near[n] in taught for _, n in pairs)
        taught |= {near[n] for _, n in pairs}
        found.n_taught += len(utterance.words)
        found.n_not_said += (n_not_said := len(utterance.words) - len(pairs) + n_again)
        kept |= {near[n] for _, n in pairs if _is_covered(file.words[near[n]], utterance)}
        aligned = {n for _, n in pairs}
        omitted = [
            word.text for n, word in enumerate(file.words[n] for n in near)
            if n not in aligned and _is_inside(word, utterance)
        ]  # fmt: skip
        found.n_omitted += len(omitted)
        if n_not_said or omitted:
            text = " ".join(utterance.words)
            said = " ".join(file.words[n].text for n in near)
            found.examples.append(f"{file.name} {utterance.start_ms}-{utterance.end_ms}: {text!r}, said {said!r}")
    for number, word in enumerate(file.words):
        if word.is_kept:
            found.wanted[word.condition] += 1
            if number not in kept:
                found.missed[word.condition] += 1
    found.n_wanted, found.n_kept = sum(found.wanted.values()), sum(found.wanted.values()) - sum(found.missed.values())
    if found.missed:
        found.examples.append(f"{file.name} misses {dict(found.missed)}")
    return found


def _is_near(word: Word, utterance: Taught) -> bool:
    middle = (word.start_ms + word.end_ms) // 2
    return utterance.start_ms - TOLERANCE_MS <= middle <= utterance.end_ms + TOLERANCE_MS


def _is_inside(word: Word, utterance: Taught) -> bool:
    middle = (word.start_ms + word.end_ms) // 2
    return utterance.start_ms + TOLERANCE_MS < middle < utterance.end_ms - TOLERANCE_MS


def _is_covered(word: Word, utterance: Taught) -> bool:
    return utterance.start_ms - TOLERANCE_MS <= word.start_ms and word.end_ms <= utterance.end_ms + TOLERANCE_MS


def _aligned(taught: Sequence[str], said: Sequence[Word], utterance: Taught) -> list[tuple[int, int]]:
    """Pairs of positions of equal words, in order; of several longest choices, one whose words are covered."""
    from rapidfuzz.distance import LCSseq

    texts = [word.text for word in said]
    whole = [at for at in range(len(texts) - len(taught) + 1) if texts[at : at + len(taught)] == list(taught)]
    if whole and taught:
        middle = (utterance.start_ms + utterance.end_ms) / 2

        def distance(at: int) -> float:
            return abs((said[at].start_ms + said[at + len(taught) - 1].end_ms) / 2 - middle)

        best = min(whole, key=distance)
        return [(n, best + n) for n in range(len(taught))]
    equal = [code for code in LCSseq.opcodes(list(taught), texts) if code.tag == "equal"]
    return [(code.src_start + n, code.dest_start + n) for code in equal for n in range(code.src_end - code.src_start)]
