"""Which words are taken for which: the alignments behind the error counts, added up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from training.evaluation.records import ScoredUtterance
from training.scoring.normaliser import normalise

Counted = TypeVar("Counted", str, tuple[str, str])


@dataclass(frozen=True)
class Confusions:
    """Words with how often, the most frequent first."""

    substituted: list[tuple[tuple[str, str], int]]
    """Reference and what was heard instead."""
    deleted: list[tuple[str, int]]
    inserted: list[tuple[str, int]]


def confusions(utterances: Iterable[ScoredUtterance], most: int = 15) -> Confusions:
    """The `most` frequent confusions of each kind."""
    import jiwer

    substituted: Counter[tuple[str, str]] = Counter()
    deleted: Counter[str] = Counter()
    inserted: Counter[str] = Counter()
    for utterance in utterances:
        reference, hypothesis = normalise(utterance.reference), normalise(utterance.hypothesis)
        if not reference:
            inserted.update(hypothesis.split())
            continue
        found = jiwer.process_words(reference, hypothesis)
        theirs, ours = found.references[0], found.hypotheses[0]
        for part in found.alignments[0]:
            said = theirs[part.ref_start_idx : part.ref_end_idx]
            heard = ours[part.hyp_start_idx : part.hyp_end_idx]
            if part.type == "substitute":
                substituted.update(zip(said, heard, strict=True))
            elif part.type == "delete":
                deleted.update(said)
            elif part.type == "insert":
                inserted.update(heard)
    return Confusions(_top(substituted, most), _top(deleted, most), _top(inserted, most))


def _top(counts: Counter[Counted], most: int) -> list[tuple[Counted, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:most]
