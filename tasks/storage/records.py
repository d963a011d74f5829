"""Frozen records as JSON: one per object, or one per line (JSON Lines)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from tasks import storage
from tasks.contract import Frozen, InputRejected, Reason

Record = TypeVar("Record", bound=Frozen)


def to_lines(records: Iterable[Frozen]) -> bytes:
    """Serialise records as JSON Lines, without fields at their defaults."""
    return b"".join(record.model_dump_json(exclude_defaults=True).encode() + b"\n" for record in records)


def read_lines(record: type[Record], uri: str) -> Iterator[Record]:
    """Yield the records of a JSON Lines object.

    Raises:
        InputRejected: CORRUPT, with the line number.
    """
    with storage.open_reader(uri) as file:
        for line_number, line in enumerate(file, start=1):
            yield _parse(record, line, f"{uri}, line {line_number}")


def read_one(record: type[Record], uri: str) -> Record:
    """Read an object that holds one record. Raises InputRejected(CORRUPT)."""
    return _parse(record, storage.read_bytes(uri), uri)


def _parse(record: type[Record], data: bytes, subject: str) -> Record:
    try:
        return record.model_validate_json(data)
    except ValueError as error:
        raise InputRejected(
            str(error), reason=Reason.CORRUPT, subject=subject, next_step="rerun the step that wrote it"
        ) from None
