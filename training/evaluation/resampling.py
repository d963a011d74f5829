"""The unit that the bootstrap resamples: programmes where there are enough of them, otherwise utterances.

Errors within one programme are correlated (a voice, a topic, a microphone), so programmes are the independent units.
But a handful of programmes has too few distinct resamples (three have ten), and the interval is far too narrow
or empty. Below `MIN_PROGRAMMES`, utterances are resampled. That interval says nothing about other programmes, so a
decision based on it must also check each programme by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

MIN_PROGRAMMES = 8

Unit = Literal["programme", "utterance"]


def choose_unit(programme_ids: Sequence[str]) -> Unit:
    return "programme" if len(set(programme_ids)) >= MIN_PROGRAMMES else "utterance"


def sum_by_unit(programme_ids: Sequence[str], *counts: Sequence[int]) -> list[np.ndarray]:
    """Sum each of `counts` (`(n_utterances,)`) over the units: `(n_units,)` each."""
    arrays = [np.asarray(c, dtype=np.int64) for c in counts]
    if choose_unit(programme_ids) == "utterance":
        return arrays
    _, unit = np.unique(np.asarray(programme_ids), return_inverse=True)  # (n_utterances,)
    return [np.bincount(unit, weights=a).astype(np.int64) for a in arrays]  # (n_units,)
