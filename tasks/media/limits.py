"""How much one medium may cost, and the clock that holds it to that."""

from __future__ import annotations

import time

from tasks.contract import Frozen, Reason
from tasks.media.findings import MediaRejected


class MediaLimits(Frozen):
    """What a medium may cost before it is rejected.

    Nothing here is taken from a header: sizes are those of the bytes, durations those of the samples that came out.
    """

    wall_clock_s: float = 3600.0  # inside the decoder; the time that the caller takes between blocks is not counted
    max_duration_s: float = 24 * 3600.0
    max_bytes: int = 1 << 40
    max_lost_share: float = 0.1  # of the duration, silence or missing; more is `rejected(damaged)` or `(truncated)`
    max_gap_s: float = 600.0  # a larger jump of the timestamps inside a track is another clock, not missing audio
    memory_bytes: int = 1 << 30  # above what Python and FFmpeg need at rest; in a child process only

    def check_size(self, n_bytes: int) -> None:
        """Raises `MediaRejected(too_large)` when so many bytes are too many."""
        if n_bytes > self.max_bytes:
            raise MediaRejected(Reason.TOO_LARGE, f"{n_bytes} bytes, the limit is {self.max_bytes}")


class Stopwatch:
    """Time spent inside the decoder. Runs from its making; stands still while the caller works on a block."""

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
        """Raises `MediaRejected(time_limit)` when the limit is passed."""
        if self.elapsed_s > self.limit_s:
            raise MediaRejected(Reason.TIME_LIMIT, f"decoding took more than {self.limit_s:g} s")
