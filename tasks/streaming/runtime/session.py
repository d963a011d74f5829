"""The interface between a component and the worker that runs it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from tasks.contract.events import Event
from tasks.streaming.runtime.messages import LiveMessage

Outgoing = LiveMessage | Event


class Session(Protocol):
    """One session in one component: a deterministic state machine. Equal state and messages give equal outputs."""

    def push(self, message: Any) -> Iterable[Outgoing]:
        """Process the session's next message. Sequence numbers increase, and may skip."""

    def save(self) -> bytes:
        """Serialise the complete state."""


class OpenSession(Protocol):
    def __call__(self, session: str, saved: bytes | None) -> Session:
        """Start a session, or restore it from a saved state."""


@dataclass(frozen=True)
class IdleTimeout:
    """How long a session may be without messages before it is ended, and the message that ends it."""

    after_s: float
    last_message: Callable[[str, int], LiveMessage]
    """Makes the message from the session's name and the next sequence number."""


@dataclass(frozen=True)
class Component:
    """One of the five components."""

    name: str
    consumes: type[LiveMessage]
    open: OpenSession
    version: int
    """Incremented when older saved states can no longer be read."""
    idle_timeout: IdleTimeout | None = None
    """For the component that reads from feeders. None: only a last message ends a session."""

    @property
    def state_topic(self) -> str:
        """The topic of snapshots: compacted, with as many partitions as the input topic."""
        return state_topic(self.name)


def state_topic(component: str) -> str:
    """Return the name of a component's topic of snapshots."""
    return f"live.{component}.state"
