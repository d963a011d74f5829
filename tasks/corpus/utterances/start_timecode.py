"""Shift captions that count from the medium's start time code, such as 10:00:00:00, to its first frame."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from tasks.corpus.captions import SourceTranscript
from tasks.corpus.captions.parsed import shift_cue
from tasks.corpus.records import Supervision
from tasks.media.container.probe import MediaProbe

MIN_SHARE_INSIDE = 0.9  # of the shifted captions; with fewer, they belong to another programme
MAX_EARLY_S = 1.0  # a caption may be shown a little before the first frame
MIN_LEADER_S = 0.1  # less is rounding error
DAY_S = 24 * 3600
_TIME_CODE = re.compile(r"(\d\d):(\d\d):(\d\d)[:;.,](\d\d)")


def from_first_frame(transcript: SourceTranscript, probe: MediaProbe) -> SourceTranscript:
    """Return the captions in media time, with a warning if they were shifted by the medium's start time code.

    They are shifted only if none is inside the medium without the shift, and nearly all are with it. Captions that
    count from the programme start in their header are shifted by the medium's leader, the time between its start and
    the programme's.
    """
    start_s = _start_s(probe)
    if not transcript.are_captions or not start_s:
        return transcript
    start_s *= transcript.label_second_s
    duration_s = probe.header_duration_s if not probe.duration_is_estimate else None
    inside_s = duration_s or start_s  # with an unknown duration, assume at most the start time code
    if transcript.programme_start_s:
        return _shift_by_leader(transcript, transcript.programme_start_s - start_s, inside_s, _format_start(probe))
    cues = [cue for cue in transcript.supervisions if cue.text.strip()]
    day_s = DAY_S * transcript.label_second_s
    crosses_midnight = any(0 <= cue.start_s - start_s < inside_s for cue in cues)

    def by_s(cue: Supervision) -> float:
        return day_s - start_s if crosses_midnight and cue.start_s < start_s - day_s / 2 else -start_s

    are_outside = not any(0 <= cue.start_s < inside_s and by_s(cue) == -start_s for cue in cues)
    if not are_outside or not _fit([cue.start_s + by_s(cue) for cue in cues], duration_s):
        return transcript
    warning = (
        f"the captions count from the medium's start time code {_format_start(probe)}, so {start_s:.3f} s were "
        "subtracted from their times; check that they match the audio"
    )
    return replace(
        transcript,
        supervisions=tuple(shift_cue(cue, by_s(cue)) for cue in transcript.supervisions),
        problems=tuple(problem.shift(-start_s) for problem in transcript.problems),
        warnings=(*transcript.warnings, warning),
    )


def _shift_by_leader(transcript: SourceTranscript, later_s: float, inside_s: float, clock: str) -> SourceTranscript:
    """Shift captions of a programme that begins `later_s` after the medium's first frame."""
    if not MIN_LEADER_S <= later_s < inside_s:
        return transcript
    if not _fit([cue.start_s + later_s for cue in transcript.supervisions if cue.text.strip()], inside_s):
        return transcript
    warning = (
        f"the programme starts {later_s:.3f} s after the medium's start time code {clock}, so this was added to the "
        "times of the captions; check that they match the audio"
    )
    return replace(
        transcript,
        supervisions=tuple(shift_cue(cue, later_s) for cue in transcript.supervisions),
        problems=tuple(problem.shift(later_s) for problem in transcript.problems),
        warnings=(*transcript.warnings, warning),
    )


def _format_start(probe: MediaProbe) -> str:
    return probe.start_timecode or f"{probe.time_reference_s:g} s after midnight (Broadcast Wave)"


def _fit(starts_s: Sequence[float], duration_s: float | None) -> bool:
    n_inside = sum(start >= -MAX_EARLY_S and (duration_s is None or start < duration_s) for start in starts_s)
    return n_inside > 0 and n_inside >= MIN_SHARE_INSIDE * len(starts_s)


def _start_s(probe: MediaProbe) -> float:
    """Return the first frame's time code as seconds after midnight; 0 if the medium has none."""
    match = _TIME_CODE.fullmatch(probe.start_timecode or "")
    if not match:
        return probe.time_reference_s or 0.0
    hours, minutes, seconds, frames = map(int, match.groups())
    labels_per_s = max(1, round(probe.frame_rate or 25))
    return (hours * 60 + minutes) * 60 + seconds + min(frames, labels_per_s) / labels_per_s
