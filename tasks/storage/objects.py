"""What every scheme offers, and an object as a listing shows it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

COPY_BYTES = 1 << 20


@dataclass(frozen=True)
class ObjectInfo:
    """One object as a listing shows it. `etag` changes whenever the content does."""

    uri: str
    size: int
    etag: str


class Storage(Protocol):
    """What a scheme must offer. `uri` is always whole."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]: ...
    def info(self, uri: str) -> ObjectInfo: ...
    def open(self, uri: str) -> BinaryIO: ...
    def write(self, uri: str, data: bytes | Path, create: bool) -> None: ...
    def delete(self, uri: str) -> None: ...
