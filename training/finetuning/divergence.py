"""Detects a diverging training run, so that it ends instead of wasting accelerator time."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tasks.contract import Misconfigured, Reason

SMOOTHING = 0.95
SETTLING_STEPS = 20
MAX_CONSECUTIVE_BAD_STEPS = 3
LOSS_CLIP = 4.0  # a step's loss is clipped at 4 times (the smoothed loss + 1)


@dataclass
class LossMonitor:
    """Smooths the loss and detects divergence. Its fields are its complete state, saved with every checkpoint."""

    smoothed: float = math.nan
    reference: float = math.nan
    """The smoothed loss after the settling steps; a run whose smoothed loss rises far above it has diverged."""
    n_seen: int = 0
    n_bad: int = 0
    """Consecutive steps whose loss or gradient was not finite."""

    def update(self, loss: float, gradient_norm: float) -> bool:
        """Record one step; return False if it must not be applied.

        Raises:
            Misconfigured: DIVERGED, after several consecutive bad steps or when the smoothed loss has risen far above
                the reference.
        """
        if not (math.isfinite(loss) and math.isfinite(gradient_norm)):
            self.n_bad += 1
            if self.n_bad >= MAX_CONSECUTIVE_BAD_STEPS:
                raise _diverged(f"loss {loss:g} and gradient norm {gradient_norm:g}, {self.n_bad} steps in a row")
            return False
        self.n_bad = 0
        self.n_seen += 1
        weight = max(1 - SMOOTHING, 1 / self.n_seen)  # a plain mean at first
        if self.n_seen > SETTLING_STEPS:
            # A single batch may cost fifty times as much as its neighbours, as one of the demo did: no divergence.
            loss = min(loss, LOSS_CLIP * (self.smoothed + 1))
        self.smoothed = loss if self.n_seen == 1 else self.smoothed + weight * (loss - self.smoothed)
        if self.n_seen == SETTLING_STEPS:
            self.reference = self.smoothed
        if self.n_seen > SETTLING_STEPS and self.smoothed > 2 * self.reference + 1:
            raise _diverged(f"the smoothed loss rose from {self.reference:.2f} to {self.smoothed:.2f}")
        return True


def _diverged(message: str) -> Misconfigured:
    """Build the error. Misconfigured, because a retry would take the same steps."""
    return Misconfigured(
        message,
        reason=Reason.DIVERGED,
        subject="training",
        next_step="lower --learning-rate; the last good checkpoint is kept beside the result",
    )
