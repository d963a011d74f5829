"""Remove the repetitions of roll-up captions.

Live captions scroll: each cue repeats the last line of the previous one and adds a new one, and files made from them
repeat whole cues to highlight a word. Read naively, every line would appear twice in the text.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from tasks.corpus.records import Supervision

MAX_GAP_S = 0.15  # scrolling cues follow each other immediately
MIN_SHARE = 0.3  # of the cues; below this, repeated lines were really spoken twice
MIN_CUES = 4
MAX_LINES = 30  # more than any caption screen has


def unroll(cues: Sequence[Supervision]) -> list[Supervision]:
    """Return the cues without lines that only scrolled up; unchanged if the captions do not scroll."""
    ordered = sorted(cues, key=lambda cue: cue.start_s)
    carried = [0, *(_carried(a, b) for a, b in itertools.pairwise(ordered))]
    n_rolled = sum(n > 0 for n in carried)
    if n_rolled < MIN_CUES or n_rolled < MIN_SHARE * len(ordered):
        return ordered
    unrolled: list[Supervision] = []
    for cue, n_lines in zip(ordered, carried, strict=True):
        text = "\n".join(_lines(cue)[n_lines:])
        if text:
            unrolled.append(cue.model_copy(update={"text": text}))
        elif unrolled:  # nothing new: the previous cue stays longer
            unrolled[-1] = unrolled[-1].model_copy(update={"end_s": cue.end_s})
    return unrolled


def _carried(before: Supervision, cue: Supervision) -> int:
    """How many of `cue`'s first lines were the last lines of the previous cue."""
    if before.end_s is None or abs(cue.start_s - before.end_s) > MAX_GAP_S:
        return 0
    old, new = _lines(before), _lines(cue)
    return max((n for n in range(1, min(len(old), len(new), MAX_LINES) + 1) if old[-n:] == new[:n]), default=0)


def _lines(cue: Supervision) -> list[str]:
    return [line.strip() for line in cue.text.split("\n") if line.strip()]
