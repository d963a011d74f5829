"""Corrects speaker changes inside a sentence that are errors of the diarization's boundaries.

A cue and a segment end where the speaker changes, so an error of a few hundred milliseconds would break a sentence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from tasks.transcripts.document import Word
from tasks.transcripts.sentences import ends_sentence

# Between words closer than this, a few words of another speaker are an error rather than an interjection.
FLUENT_GAP_MS = 300
MAX_FLIP_MS = 800  # length of such words; a single one may be longer
# A change this close to the end of a sentence belongs there: diarizers place boundaries a quarter of a second exactly.
MAX_SPILL_MS = 500


@dataclass(frozen=True, slots=True)
class _Run:
    """Words [first, end) of one speaker."""

    first: int
    end: int
    speaker: str | None


def settle(words: Sequence[Word], speakers: Sequence[str | None]) -> list[str | None]:
    """Return the words' speakers without doubtful changes inside a sentence that is spoken without a pause:

    - words of another speaker, or of none, between words of one speaker, if they are one word or short;
    - the last words of a sentence, if their speaker begins the next one, and the first, if theirs ended the one before.
    """
    settled = list(speakers)
    breaks = [index for index in range(1, len(words)) if not _is_fluent(words[index - 1], words[index])]
    for first, end in pairwise([0, *breaks, len(words)]):
        _settle_flips(words, settled, first, end)
        _settle_spills(words, settled, first, end)
    return settled


def _is_fluent(before: Word, after: Word) -> bool:
    return after.start_ms - before.end_ms < FLUENT_GAP_MS and not ends_sentence(before.text, after.text)


def _settle_flips(words: Sequence[Word], speakers: list[str | None], first: int, end: int) -> None:
    runs = _runs(speakers, first, end)
    if len(runs) < 3:
        return
    around = runs[0].speaker
    for run, after in pairwise(runs[1:]):
        is_short = run.end - run.first == 1 or _duration_ms(words, run) <= MAX_FLIP_MS
        if is_short and around is not None and around == after.speaker:
            speakers[run.first : run.end] = [around] * (run.end - run.first)
        else:
            around = run.speaker


def _settle_spills(words: Sequence[Word], speakers: list[str | None], first: int, end: int) -> None:
    runs = _runs(speakers, first, end)
    if len(runs) < 2:
        return
    head, tail = runs[0], runs[-1]
    if (
        first > 0
        and speakers[first - 1] == head.speaker
        and ends_sentence(words[first - 1].text, words[first].text)
        and _can_continue(words, head, runs[1])
    ):
        speakers[head.first : head.end] = [runs[1].speaker] * (head.end - head.first)
    if (
        end < len(words)
        and speakers[end] == tail.speaker
        and ends_sentence(words[end - 1].text, words[end].text)
        and _can_continue(words, tail, runs[-2])
    ):
        speakers[tail.first : tail.end] = [runs[-2].speaker] * (tail.end - tail.first)


def _can_continue(words: Sequence[Word], spilled: _Run, kept: _Run) -> bool:
    """Whether a short run may belong to the longer one beside it. A capital after the change starts a sentence."""
    is_shorter = _duration_ms(words, spilled) <= min(MAX_SPILL_MS, _duration_ms(words, kept))
    return kept.speaker is not None and is_shorter and words[max(spilled.first, kept.first)].text[:1].islower()


def _duration_ms(words: Sequence[Word], run: _Run) -> int:
    return words[run.end - 1].end_ms - words[run.first].start_ms


def _runs(speakers: Sequence[str | None], first: int, end: int) -> list[_Run]:
    """Divide words [first, end) into runs of one speaker."""
    runs: list[_Run] = []
    for index in range(first, end):
        if runs and runs[-1].speaker == speakers[index]:
            runs[-1] = _Run(runs[-1].first, index + 1, speakers[index])
        else:
            runs.append(_Run(index, index + 1, speakers[index]))
    return runs
