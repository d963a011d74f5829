"""Whether a training is still worth its electricity."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tasks.contract import Misconfigured, Reason

SMOOTHING = 0.95
SETTLING_STEPS = 20
BAD_STEPS_IN_A_ROW = 3
OUTLIER = 4.0  # times the smoothed loss, and more a step does not count


@dataclass
class LossHealth:
    """Follows the loss. Its fields are all there is to save."""

    smoothed: float = math.nan
    reference: float = math.nan
    """The smoothed loss after the first steps: a run that leaves it far behind, upwards, has diverged."""
    n_seen: int = 0
    n_bad: int = 0

    def follow(self, loss: float, gradient_norm: float) -> bool:
        """Take in one step's figures; false means that the step must not be applied.

        Raises:
            Misconfigured: DIVERGED, after several bad steps in a row, or the loss has grown far above where it began.
        """
        if not (math.isfinite(loss) and math.isfinite(gradient_norm)):
            self.n_bad += 1
            if self.n_bad >= BAD_STEPS_IN_A_ROW:
                raise _diverged(f"loss {loss:g} and gradient norm {gradient_norm:g}, {self.n_bad} steps in a row")
            return False
        self.n_bad = 0
        self.n_seen += 1
        weight = max(1 - SMOOTHING, 1 / self.n_seen)  # a plain mean at first
        if self.n_seen > SETTLING_STEPS:
            # One batch may cost fifty times as much as its neighbours, as one of the demo did: no divergence yet.
            loss = min(loss, OUTLIER * (self.smoothed + 1))
        self.smoothed = loss if self.n_seen == 1 else self.smoothed + weight * (loss - self.smoothed)
        if self.n_seen == SETTLING_STEPS:
            self.reference = self.smoothed
        if self.n_seen > SETTLING_STEPS and self.smoothed > 2 * self.reference + 1:
            raise _diverged(f"the smoothed loss rose from {self.reference:.2f} to {self.smoothed:.2f}")
        return True


def _diverged(message: str) -> Misconfigured:
    """No fault of the moment: the same steps would be taken again."""
    return Misconfigured(
        message,
        reason=Reason.DIVERGED,
        subject="training",
        next_step="lower --learning-rate; the last good checkpoint is kept beside the result",
    )
