"""Resource limits for decoding one medium, and the progress that they are measured against."""

from __future__ import annotations

import time

from tasks.contract import Frozen, Reason
from tasks.media.findings import MediaRejected

MEGABYTE = 1_000_000


class MediaLimits(Frozen):
    """Limits beyond which a medium is rejected.

    They apply to measured values, never to a header: the size in bytes, the duration of the decoded samples. Time is
    limited by progress, so that a film may take hours and a small file that makes FFmpeg spin does not: processor time
    is the file's doing and the same at every try, waiting is the host's.
    """

    stalled_cpu_s: float = 15.0  # processor time without new bytes read or samples decoded
    stalled_s: float = 300.0  # waiting for either, in a child process only: the host is overloaded or storage hangs
    # Processor time in all. The slowest decoders measured take 0.02 s for a second of audio and 0.01 s for a megabyte.
    base_cpu_s: float = 60.0
    cpu_s_per_megabyte: float = 0.5
    cpu_s_per_second: float = 0.5
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

    def cpu_s(self, n_bytes: int, duration_s: float) -> float:
        """Return the processor time that a file of this size may take for this much audio."""
        return self.base_cpu_s + self.cpu_s_per_megabyte * n_bytes / MEGABYTE + self.cpu_s_per_second * duration_s


class Progress:
    """What a decoder has read and decoded, and the processor time that this thread spent on it.

    Runs from construction; paused while the caller works on a block.
    """

    def __init__(self, limits: MediaLimits) -> None:
        self._limits = limits
        self.n_bytes = 0  # of the medium: the larger, the more time
        self._duration_s = 0.0
        self._spent_s = self._spent_at_advance_s = 0.0
        self._since: float | None = time.thread_time()

    @property
    def spent_s(self) -> float:
        """Processor time spent in the decoder."""
        return self._spent_s + (time.thread_time() - self._since if self._since is not None else 0.0)

    def pause(self) -> None:
        self._spent_s, self._since = self.spent_s, None

    def resume(self) -> None:
        self._since = time.thread_time()

    def note_new_bytes(self) -> None:
        """Note that a part of the medium was read for the first time."""
        self._spent_at_advance_s = self.spent_s

    def note_audio(self, duration_s: float) -> None:
        """Note decoded audio; without duration it is no progress."""
        if duration_s > 0:
            self._duration_s += duration_s
            self._spent_at_advance_s = self.spent_s

    def check(self) -> None:
        """Raise `MediaRejected(decoder_limit)` once a limit is exceeded."""
        spent_s = self.spent_s
        if spent_s - self._spent_at_advance_s > self._limits.stalled_cpu_s:
            raise MediaRejected(Reason.DECODER_LIMIT, stalled(self._limits))
        allowed_s = self._limits.cpu_s(self.n_bytes, self._duration_s)
        if spent_s > allowed_s:
            raise MediaRejected(
                Reason.DECODER_LIMIT,
                f"took more than {allowed_s:.0f} s of processor time for {self.n_bytes} bytes and "
                f"{self._duration_s:.0f} s of audio",
            )


def stalled(limits: MediaLimits) -> str:
    """Describe a file that makes the decoder spin."""
    spent = f"{limits.stalled_cpu_s:g} s of processor time without a new byte read or sample decoded"
    return f"makes the decoder spin: {spent}"
