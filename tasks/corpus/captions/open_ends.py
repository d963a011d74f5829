"""Determine the end of cues without one: the next cue, a given limit, or the time that their text takes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.corpus.records import Supervision

MAX_OPEN_S = 10.0  # a cue that stays longer was left on the screen by mistake
MIN_OPEN_S = 1.0
SLOW_CHARACTERS_PER_S = 8  # half the pace of speech, so that no spoken word is cut off


@dataclass(frozen=True)
class DraftCue:
    """A cue whose end may still be unknown."""

    cue: Supervision
    open_from_s: float | None = None
    """When the last words of an open cue appear; `cue.end_s` is then an upper limit. None if the end is known."""


def close_open_ends(drafts: Sequence[DraftCue]) -> list[Supervision]:
    """Return the cues in the given order, all with an end."""
    starts = sorted(draft.cue.start_s for draft in drafts)
    return [
        draft.cue if draft.open_from_s is None else _close(draft.cue, draft.open_from_s, starts) for draft in drafts
    ]


def _close(cue: Supervision, open_from_s: float, starts: Sequence[float]) -> Supervision:
    following = bisect_right(
        starts, round(open_from_s, 3)
    )  # rounded like the starts, else a cue would be its own successor
    bounds = [cue.end_s] if cue.end_s is not None else []
    bounds += starts[following : following + 1]
    nearest = min(bounds, default=open_from_s + MAX_OPEN_S + 1)
    if nearest - open_from_s > MAX_OPEN_S:
        spoken_s = MIN_OPEN_S + len(cue.text.split("\n")[-1]) / SLOW_CHARACTERS_PER_S
        nearest = open_from_s + min(MAX_OPEN_S, spoken_s)
    return cue.model_copy(update={"end_s": round(nearest, 3)})
