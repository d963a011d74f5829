"""Counts of recognition errors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

from tasks.contract import Frozen


class ErrorCounts(Frozen):
    """Error counts against a reference of `length` units (words or characters), additive over utterances."""

    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    length: int = 0

    @property
    def errors(self) -> int:
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """Errors per reference unit. Against an empty reference it is the number of insertions."""
        return self.errors / max(self.length, 1)

    def __add__(self, other: Self) -> Self:
        return type(self)(
            substitutions=self.substitutions + other.substitutions,
            deletions=self.deletions + other.deletions,
            insertions=self.insertions + other.insertions,
            length=self.length + other.length,
        )


def total(counts: Iterable[ErrorCounts]) -> ErrorCounts:
    """Add up counts over a corpus; their rate weights every word equally."""
    return sum(counts, ErrorCounts())
