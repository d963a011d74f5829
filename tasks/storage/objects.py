"""The interface of a storage scheme, and the objects that it lists."""

from __future__ import annotations

from collections.abc import Iterator, MutableSequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

COPY_BYTES = 1 << 20


@dataclass(frozen=True)
class ObjectInfo:
    """A stored object. Its `etag` changes with its content."""

    uri: str
    size: int
    etag: str


class Storage(Protocol):
    """The interface that each URI scheme implements. URIs are complete, with their scheme."""

    def list(self, prefix: str, passed_over: MutableSequence[str] | None = None) -> Iterator[ObjectInfo]: ...
    def info(self, uri: str) -> ObjectInfo: ...
    def open(self, uri: str) -> BinaryIO: ...
    def copy(self, uri: str, path: Path) -> None: ...
    def write(self, uri: str, data: bytes | Path, create: bool) -> None: ...
    def delete(self, uri: str) -> None: ...
