"""Tables of text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """A column's heading, what it means, and whether it holds figures, which stand at the right."""

    name: str
    is_number: bool = False
    meaning: str = ""
    is_detail: bool = False
    """Left out where the screen is narrow."""


@dataclass(frozen=True)
class Table:
    """Rows of cells, one for each column."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]


def without_empty_columns(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> Table:
    """A table of the columns in which some row has a value."""
    filled = [number for number in range(len(columns)) if any(row[number] for row in rows)]
    return Table(
        columns=tuple(columns[number] for number in filled),
        rows=tuple(tuple(row[number] for number in filled) for row in rows),
    )


def text(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name) for name in names)


def figures(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, is_number=True) for name in names)
