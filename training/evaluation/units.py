"""What the bootstrap draws: programmes where there are enough of them, else utterances.

Errors in one programme go together (a voice, a topic, a microphone), so programmes are the units that err
independently. But a handful of them has too few distinct resamples to say anything (three have ten), and the interval
comes out far too narrow or empty. Below `MIN_PROGRAMMES` utterances are drawn; the interval then says nothing about
other programmes, and whoever decides by it must look at each programme as well.
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
    """Each of `counts` (`(n_utterances,)`) summed over the units: `(n_units,)` each."""
    arrays = [np.asarray(c, dtype=np.int64) for c in counts]
    if choose_unit(programme_ids) == "utterance":
        return arrays
    _, unit = np.unique(np.asarray(programme_ids), return_inverse=True)
    return [np.bincount(unit, weights=a).astype(np.int64) for a in arrays]
