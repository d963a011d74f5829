"""Resource limits for decoding one medium, and the stopwatch that enforces the time limit."""

from __future__ import annotations

import time

from tasks.contract import Frozen, Reason
from tasks.media.findings import MediaRejected


class MediaLimits(Frozen):
    """Limits beyond which a medium is rejected.

    They apply to measured values, never to a header: the size in bytes, the duration of the decoded samples.
    """

    wall_clock_s: float = 3600.0  # inside the decoder; time that the caller spends between blocks does not count
    max_duration_s: float = 24 * 3600.0
    max_bytes: int = 1 << 40
    max_lost_share: float = (
        0.1  # of the duration, filled with silence or missing; more is rejected as damaged or truncated
    )
    max_gap_s: float = 600.0  # a larger timestamp jump inside a track is a clock reset, not missing audio
    memory_bytes: int = 1 << 30  # beyond what Python and FFmpeg need when idle; enforced in a child process only

    def check_size(self, n_bytes: int) -> None:
        """Raise `MediaRejected(too_large)` if `n_bytes` exceeds the limit."""
        if n_bytes > self.max_bytes:
            raise MediaRejected(Reason.TOO_LARGE, f"{n_bytes} bytes, the limit is {self.max_bytes}")


class Stopwatch:
    """Time spent inside the decoder. Runs from construction; paused while the caller works on a block."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._spent_s = 0.0
        self._since: float | None = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        return self._spent_s + (time.monotonic() - self._since if self._since is not None else 0.0)

    def pause(self) -> None:
        self._spent_s, self._since = self.elapsed_s, None

    def resume(self) -> None:
        self._since = time.monotonic()

    def check(self) -> None:
        """Raise `MediaRejected(time_limit)` once the limit is exceeded."""
        if self.elapsed_s > self.limit_s:
            raise MediaRejected(Reason.TIME_LIMIT, f"decoding took more than {self.limit_s:g} s")
