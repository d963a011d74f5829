"""Word confusions: substitutions, deletions and insertions of the alignments behind the error counts, added up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from tasks.transcripts.normaliser import normalise
from training.evaluation.records import ScoredUtterance

Counted = TypeVar("Counted", str, tuple[str, str])


@dataclass(frozen=True)
class Confusions:
    """Words with their counts, the most frequent first."""

    substituted: list[tuple[tuple[str, str], int]]
    """Reference and hypothesis."""
    deleted: list[tuple[str, int]]
    inserted: list[tuple[str, int]]


def confusions(utterances: Iterable[ScoredUtterance], n_each: int = 15) -> Confusions:
    """The `n_each` most frequent confusions of each kind."""
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
        for part in found.alignments[0]:
            reference_words = found.references[0][part.ref_start_idx : part.ref_end_idx]
            hypothesis_words = found.hypotheses[0][part.hyp_start_idx : part.hyp_end_idx]
            if part.type == "substitute":
                substituted.update(zip(reference_words, hypothesis_words, strict=True))
            elif part.type == "delete":
                deleted.update(reference_words)
            elif part.type == "insert":
                inserted.update(hypothesis_words)
    return Confusions(_top(substituted, n_each), _top(deleted, n_each), _top(inserted, n_each))


def _top(counts: Counter[Counted], n: int) -> list[tuple[Counted, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:n]
