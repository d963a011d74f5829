"""The learning rate schedule, a pure function of the step: it has no state to checkpoint."""

from __future__ import annotations

import math

WARMUP_SHARE = 0.05
MAX_WARMUP_STEPS = 1000
FINAL_SHARE = 0.02


def learning_rate(step: int, n_steps: int, peak: float) -> float:
    """Return the rate for step 0 to `n_steps - 1`: linear warm-up, then cosine decay to `FINAL_SHARE` of the peak."""
    n_warmup = min(MAX_WARMUP_STEPS, max(1, round(WARMUP_SHARE * n_steps)))
    if step < n_warmup:
        return peak * (step + 1) / n_warmup
    share = (step - n_warmup) / max(1, n_steps - 1 - n_warmup)
    return peak * (FINAL_SHARE + (1 - FINAL_SHARE) * 0.5 * (1 + math.cos(math.pi * min(share, 1.0))))
