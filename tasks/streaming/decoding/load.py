"""Longer steps between decoding passes where the machine is too slow, so that captions become later but are complete.

The step is part of a session's state and changes only when the state is saved. A worker sends nothing between saving a
state and its delivery, so a session that is restored and replayed has decoded at the same times as before the crash.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tasks.streaming.decoding.decoder import Pace

# Share of time spent in decoding passes above which steps become longer, and below which shorter again.
MAX_SHARE, MIN_SHARE = 0.85, 0.5
FACTOR = 1.5


@dataclass(frozen=True)
class Reading:
    """What a meter shows: the time, and how much of it was spent in decoding passes."""

    at_s: float
    busy_s: float

    def since(self, earlier: Reading) -> Reading:
        return Reading(self.at_s - earlier.at_s, self.busy_s - earlier.busy_s)


class LoadMeter:
    """Measures the time that a worker spends in decoding passes, over all its sessions."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._busy_s = 0.0

    @property
    def reading(self) -> Reading:
        return Reading(self._clock(), self._busy_s)

    @contextmanager
    def measure(self) -> Iterator[None]:
        """Count the time until the block ends."""
        started_s = self._clock()
        yield
        self._busy_s += self._clock() - started_s


def next_step_ms(step_ms: int, spent: Reading, pace: Pace) -> int:
    """Return the step that follows on a stretch of time. Without any pass in it the step stays."""
    if spent.busy_s <= 0.0 or spent.at_s <= 0.0:
        return step_ms
    share = spent.busy_s / spent.at_s
    factor = FACTOR if share > MAX_SHARE else 1 / FACTOR if share < MIN_SHARE else 1.0
    return min(max(round(step_ms * factor), pace.step_ms), pace.max_step_ms)
