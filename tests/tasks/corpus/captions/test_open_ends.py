"""Cues without an end."""

from __future__ import annotations

from tasks.corpus.captions.open_ends import DraftCue, close_open_ends
from tasks.corpus.records import Supervision


def test_a_start_that_is_rounded_up_does_not_end_its_own_cue() -> None:
    frame_s = 1001 / 30000  # 48 of them are 1.6016 s
    drafts = [
        DraftCue(Supervision(start_s=round(n * frame_s, 3), end_s=None, text="Good evening."), n * frame_s)
        for n in (48, 96)
    ]
    assert next(iter(close_open_ends(drafts))).end_s == 3.203
