"""Word and character errors: minimal substitutions, deletions and insertions, aligned by jiwer."""

from __future__ import annotations

import itertools
import re

from tasks.transcripts.error_counts import ErrorCounts


def word_errors(reference: str, hypothesis: str) -> ErrorCounts:
    """Count word errors, splitting at whitespace. Texts must be normalised before."""
    if not reference.split() or not hypothesis.split():
        return ErrorCounts(
            deletions=len(reference.split()), insertions=len(hypothesis.split()), length=len(reference.split())
        )
    import jiwer

    found = jiwer.process_words(reference, hypothesis)
    return ErrorCounts(
        substitutions=found.substitutions,
        deletions=found.deletions,
        insertions=found.insertions,
        length=len(reference.split()),
    )


def character_errors(reference: str, hypothesis: str) -> ErrorCounts:
    """Count character errors, including spaces between words."""
    reference, hypothesis = " ".join(reference.split()), " ".join(hypothesis.split())
    if not reference or not hypothesis:
        return ErrorCounts(deletions=len(reference), insertions=len(hypothesis), length=len(reference))
    import jiwer

    found = jiwer.process_characters(reference, hypothesis)
    return ErrorCounts(
        substitutions=found.substitutions,
        deletions=found.deletions,
        insertions=found.insertions,
        length=len(reference),
    )


_ALTERNATIVES = re.compile(r"\{([^{}]*)\}")
EMPTY_ALTERNATIVE = "@"


def word_errors_with_alternatives(reference: str, hypothesis: str) -> ErrorCounts:
    """Count word errors against a reference with alternatives: `{ A / B }`, where `@` is the empty alternative.

    The choice with the fewest errors counts, as in NIST's sclite; among equals the first.
    """
    parts = _ALTERNATIVES.split(reference)  # text and alternatives by turns
    choices = [[p] if i % 2 == 0 else p.split("/") for i, p in enumerate(parts)]
    candidates = (
        " ".join(word for part in chosen for word in part.split() if word != EMPTY_ALTERNATIVE)
        for chosen in itertools.product(*choices)
    )
    return min((word_errors(candidate, hypothesis) for candidate in candidates), key=lambda counts: counts.errors)
