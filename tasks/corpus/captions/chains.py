"""Shorten the overlapping cues of automatic captions so that each ends where the next one begins.

Automatic captions show two lines, and each cue stays until the next but one begins, so every cue overlaps its
neighbours (ytdl-org/youtube-dl#9038, iv-org/invidious#100). Its words are spoken before the next cue begins.
Simultaneous speakers also overlap, but their cues have different screen positions or overlap only partly.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from tasks.corpus.records import Supervision

MIN_OVERLAP_S, MIN_OVERLAP_SHARE = 0.5, 0.25  # (share of the shorter cue); a shorter overlap is harmless
TOLERANCE_S = 0.05  # between the end of a cue and the start that it should equal
MIN_HANDOVERS = 2  # cues in a chain that end where a cue after the next one begins
MIN_CUES = 6  # overlapping cues in a row that are a chain without handovers
MIN_SHARE = 0.5  # of a file's cues in chains; then its shorter runs count as chains too
MAX_AHEAD = 4  # lines on the screen
SLOW_CHARACTERS_PER_S = 12

_SOUND = re.compile(r"\s*+(?:\[[^\]]{0,100}\]|\([^)]{0,100}\))?+\s*+")  # [Music]: a cue without words


def shorten_chains(cues: Sequence[Supervision], places: Sequence[str] | None = None) -> list[Supervision]:
    """Return the cues in the given order, with new ends in chains. `places`: the screen position of each."""
    runs = _find_runs(cues, places)
    chains = [run for run in runs if _is_chain(run, cues)]
    if sum(map(len, chains)) >= MIN_SHARE * len(cues):
        chains = runs  # short ones too, where pauses cut a chain
    result = list(cues)
    for run in chains:
        _end_at_next(run, cues, result)
    return result


def _find_runs(cues: Sequence[Supervision], places: Sequence[str] | None) -> list[list[int]]:
    """Return runs of two or more cue numbers in which each cue overlaps the next as in a chain."""
    runs: list[list[int]] = []
    run: list[int] = []
    for number in sorted(range(len(cues)), key=lambda n: cues[n].start_s):
        is_sound = _SOUND.fullmatch(cues[number].text) is not None
        if run and not _continues(run[-1], number, cues, places):
            if is_sound:
                continue
            if len(run) > 1 and _SOUND.fullmatch(cues[run[-1]].text) and _continues(run[-2], number, cues, places):
                run.pop()  # a sound cue that lasts longer than a line
            else:
                runs.append(run)
                run = []
        run.append(number)
    return [run for run in [*runs, run] if len(run) > 1]


def _continues(before: int, number: int, cues: Sequence[Supervision], places: Sequence[str] | None) -> bool:
    """Whether a cue begins and ends after the previous one and overlaps it, with the same speaker and position."""
    first, second = cues[before], cues[number]
    if first.end_s is None or second.end_s is None:
        return False
    shorter_s = min(first.end_s - first.start_s, second.end_s - second.start_s)
    return (
        first.start_s < second.start_s
        and first.end_s < second.end_s
        and first.end_s - second.start_s > min(MIN_OVERLAP_S, MIN_OVERLAP_SHARE * shorter_s)
        and (first.speaker == second.speaker or not (first.speaker and second.speaker))
        and (places is None or places[before] == places[number])
    )


def _is_chain(run: Sequence[int], cues: Sequence[Supervision]) -> bool:
    n_handovers = 0
    for index, number in enumerate(run):
        end_s = cues[number].end_s or 0.0
        later = run[index + 2 : index + 1 + MAX_AHEAD]
        n_handovers += any(abs(cues[other].start_s - end_s) <= TOLERANCE_S for other in later)
    return n_handovers >= MIN_HANDOVERS or len(run) >= MIN_CUES


def _end_at_next(run: Sequence[int], cues: Sequence[Supervision], result: list[Supervision]) -> None:
    """Shorten the cues of a chain in `result`."""
    for number, following in itertools.pairwise(run):
        result[number] = cues[number].model_copy(update={"end_s": cues[following].start_s})
    last, before = cues[run[-1]], cues[run[-2]]
    if last.end_s is not None and before.end_s is not None:
        # The last but one cue ends where a cue after the last would begin.
        spoken_s = len(last.text) / SLOW_CHARACTERS_PER_S
        end_s = min(last.end_s, max(before.end_s, round(last.start_s + spoken_s, 3)))
        result[run[-1]] = last.model_copy(update={"end_s": end_s})
