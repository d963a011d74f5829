"""What a component is, to the worker that runs it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from tasks.contract.events import Event
from tasks.streaming.runtime.messages import LiveMessage

Outgoing = LiveMessage | Event


class Session(Protocol):
    """One session in one component. Equal messages, from equal states, give equal messages and equal states."""

    def push(self, message: Any) -> Iterable[Outgoing]:
        """Take the next message of the topic. Sequence numbers may jump; they never fall."""

    def save(self) -> bytes:
        """The whole state."""


class Open(Protocol):
    def __call__(self, session: str, saved: bytes | None) -> Session:
        """A session from its beginning, or as it was saved."""


@dataclass(frozen=True)
class Ending:
    """When a session from which nothing comes is ended, and how."""

    after_s: float
    message: Callable[[str, int], LiveMessage]
    """By the session's name and the next sequence number."""


@dataclass(frozen=True)
class Component:
    """One of the five."""

    name: str
    reads: type[LiveMessage]
    open: Open
    version: int
    """Raised when states that were saved before can no longer be read."""
    ending: Ending | None = None
    """Of the component that reads from outside; None: a session is never ended but by its last message."""

    @property
    def state_topic(self) -> str:
        """Snapshots: compacted, with as many partitions as the topic that is read."""
        return f"live.{self.name}.state"
