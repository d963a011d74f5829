"""What a worker holds for each partition it owns: sessions, snapshots, and the offset that is safe to commit."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import structlog

from tasks.streaming.runtime.session import Component, Session
from tasks.streaming.runtime.snapshots import Snapshot

log = structlog.get_logger()

POISON_PREFIX = "!"  # begins the key of a poison mark in the state topic; no session name begins with it


@dataclass
class CachedSession:
    """A session in memory, with its position in the partition."""

    session: Session | None
    """None: the session has ended."""
    sequence: int
    """Sequence number of the last message processed; -1 before the first."""
    offset: int
    """Offset of the last message processed."""
    replay_from: int
    """The state can be rebuilt from the last snapshot and the messages from this offset on."""
    saved_at: float
    active_at: float
    """When the session's last message was processed."""
    is_late_logged: bool = False
    """Whether a message after the session's end has been logged."""

    @property
    def has_ended(self) -> bool:
        return self.session is None

    def end(self) -> None:
        """Release the component's session. The position stays, so that later messages are skipped."""
        self.session = None

    @property
    def is_saved(self) -> bool:
        return self.replay_from > self.offset

    def snapshot(self, version: int) -> Snapshot:
        return Snapshot(
            version=version,
            offset=self.offset,
            sequence=self.sequence,
            has_ended=self.has_ended,
            state=self.session.save().decode() if self.session else "",
        )


@dataclass
class Partition:
    """A partition that this worker owns."""

    component: Component
    snapshots: dict[str, bytes] = field(default_factory=dict)
    """Snapshots by session, and poison marks by offset."""
    sessions: dict[str, CachedSession] = field(default_factory=dict)
    next_offset: int = -1
    committed: int = -1

    @property
    def safe_offset(self) -> int:
        """The offset from which a new owner can rebuild every session."""
        return min([self.next_offset, *(s.replay_from for s in self.sessions.values() if not s.is_saved)])

    def poison_error(self, offset: int) -> str:
        """Return the error that the message at `offset` raised for an earlier owner, or ""."""
        return self.snapshots.get(f"{POISON_PREFIX}{offset}", b"").decode()

    def open(self, name: str, offset: int) -> tuple[CachedSession, bool]:
        """Return a session from memory, from its snapshot, or new at `offset`; and whether it was restored."""
        if name in self.sessions:
            return self.sessions[name], False
        now = time.monotonic()
        snapshot = self._pop_snapshot(name)
        if snapshot is None:
            cached = CachedSession(
                session=self.component.open(name, None),
                sequence=-1,
                offset=offset - 1,
                replay_from=offset,
                saved_at=now,
                active_at=now,
            )
        else:
            cached = CachedSession(
                session=None if snapshot.has_ended else self.component.open(name, snapshot.state.encode()),
                sequence=snapshot.sequence,
                offset=snapshot.offset,
                replay_from=snapshot.offset + 1,
                saved_at=now,
                active_at=now,
            )
        self.sessions[name] = cached
        return cached, snapshot is not None

    def restore_open_sessions(self) -> int:
        """Restore all sessions that have not ended, even if no message arrives for them; return their number."""
        n_restored = 0
        for name, saved in list(self.snapshots.items()):
            if (snapshot := Snapshot.read(saved, self.component.version)) and not snapshot.has_ended:
                n_restored += self.open(name, snapshot.offset + 1)[1]
        return n_restored

    def idle_sessions(self, idle_s: float) -> Iterator[tuple[str, CachedSession]]:
        """Yield the sessions that have had no message for `idle_s`."""
        now = time.monotonic()
        for name, cached in self.sessions.items():
            if not cached.has_ended and now - cached.active_at >= idle_s:
                yield name, cached

    def unsaved_sessions(self, older_than_s: float) -> Iterator[tuple[str, CachedSession]]:
        """Yield the sessions with unsaved changes whose last snapshot is older than `older_than_s`."""
        now = time.monotonic()
        for name, cached in self.sessions.items():
            if not cached.is_saved and now - cached.saved_at >= older_than_s:
                yield name, cached

    def evict_idle(self, idle_s: float) -> None:
        """Drop sessions from memory that are idle for `idle_s` and covered by a snapshot and a commit."""
        now = time.monotonic()
        for name, cached in list(self.sessions.items()):
            if cached.is_saved and self.committed > cached.offset and now - cached.active_at > idle_s:
                self.snapshots[name] = cached.snapshot(self.component.version).to_bytes()
                del self.sessions[name]

    def _pop_snapshot(self, name: str) -> Snapshot | None:
        saved = self.snapshots.pop(name, None)
        if saved is None:
            return None
        snapshot = Snapshot.read(saved, self.component.version)
        if snapshot is None:
            log.warning("snapshot of another version ignored", session=name)
        return snapshot
