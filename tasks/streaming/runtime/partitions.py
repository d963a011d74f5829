"""What a worker holds for each partition it owns: sessions, snapshots, and the offset that is safe to commit."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import structlog

from tasks.streaming.runtime.session import Component, Session
from tasks.streaming.runtime.snapshots import Snapshot

log = structlog.get_logger()

POISON_PREFIX = "!"  # of the key of a poison mark in the state topic; no session name begins with it


@dataclass
class OpenedSession:
    """A session in memory, with its position in the partition."""

    session: Session | None
    """None: the session has ended."""
    sequence: int
    """Of the last message processed; -1 before the first."""
    offset: int
    """Of the last message processed."""
    replay_from: int
    """The state can be rebuilt from the last snapshot and the messages from this offset on."""
    saved_at: float
    active_at: float
    """When its last message was processed."""
    is_late_logged: bool = False
    """Whether a message after its end has been logged."""

    @property
    def is_saved(self) -> bool:
        return self.replay_from > self.offset

    def snapshot(self, version: int) -> Snapshot:
        return Snapshot(
            version=version,
            offset=self.offset,
            sequence=self.sequence,
            has_ended=self.session is None,
            state=self.session.save().decode() if self.session else "",
        )


@dataclass
class Partition:
    """A partition that this worker owns."""

    component: Component
    snapshots: dict[str, bytes] = field(default_factory=dict)
    """Snapshots by session, and poison marks by offset."""
    sessions: dict[str, OpenedSession] = field(default_factory=dict)
    next_offset: int = -1
    committed: int = -1

    @property
    def safe_offset(self) -> int:
        """The offset from which a new owner can rebuild every session."""
        return min([self.next_offset, *(s.replay_from for s in self.sessions.values() if not s.is_saved)])

    def poison(self, offset: int) -> str:
        """Return the error that the message at `offset` raised for an earlier owner, or ""."""
        return self.snapshots.get(f"{POISON_PREFIX}{offset}", b"").decode()

    def open(self, name: str, offset: int) -> tuple[OpenedSession, bool]:
        """Return a session from memory, from its snapshot, or new at `offset`; and whether it was restored."""
        if name in self.sessions:
            return self.sessions[name], False
        now = time.monotonic()
        snapshot = self._pop_snapshot(name)
        if snapshot is None:
            opened = OpenedSession(
                session=self.component.open(name, None),
                sequence=-1,
                offset=offset - 1,
                replay_from=offset,
                saved_at=now,
                active_at=now,
            )
        else:
            opened = OpenedSession(
                session=None if snapshot.has_ended else self.component.open(name, snapshot.state.encode()),
                sequence=snapshot.sequence,
                offset=snapshot.offset,
                replay_from=snapshot.offset + 1,
                saved_at=now,
                active_at=now,
            )
        self.sessions[name] = opened
        return opened, snapshot is not None

    def restore_open_sessions(self) -> int:
        """Restore all sessions that have not ended, even if no message arrives for them; return their number."""
        n_restored = 0
        for name, saved in list(self.snapshots.items()):
            if (snapshot := Snapshot.read(saved, self.component.version)) and not snapshot.has_ended:
                n_restored += self.open(name, snapshot.offset + 1)[1]
        return n_restored

    def idle_sessions(self, idle_s: float) -> Iterator[tuple[str, OpenedSession]]:
        """Yield the sessions that have had no message for `idle_s`."""
        now = time.monotonic()
        for name, opened in self.sessions.items():
            if opened.session is not None and now - opened.active_at >= idle_s:
                yield name, opened

    def unsaved_sessions(self, older_than_s: float) -> Iterator[tuple[str, OpenedSession]]:
        """Yield the sessions with unsaved changes whose last snapshot is older than `older_than_s`."""
        now = time.monotonic()
        for name, opened in self.sessions.items():
            if not opened.is_saved and now - opened.saved_at >= older_than_s:
                yield name, opened

    def evict_idle(self, idle_s: float) -> None:
        """Drop sessions from memory that are idle for `idle_s` and covered by a snapshot and a commit."""
        now = time.monotonic()
        for name, opened in list(self.sessions.items()):
            if opened.is_saved and self.committed > opened.offset and now - opened.active_at > idle_s:
                self.snapshots[name] = opened.snapshot(self.component.version).to_bytes()
                del self.sessions[name]

    def _pop_snapshot(self, name: str) -> Snapshot | None:
        saved = self.snapshots.pop(name, None)
        if saved is None:
            return None
        snapshot = Snapshot.read(saved, self.component.version)
        if snapshot is None:
            log.warning("snapshot of another version ignored", session=name)
        return snapshot
