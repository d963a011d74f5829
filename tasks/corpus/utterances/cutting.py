"""Turn supervisions into utterances, one for each row of the dataset, and drop unusable ones with a reason.

Pure functions of times and texts; `slicing` cuts the audio. Times are integer milliseconds, so that kept and dropped
hours add up exactly.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from tasks.contract import Reason
from tasks.corpus.captions.problems import TranscriptProblem
from tasks.corpus.records import Supervision
from tasks.corpus.utterances.continuations import with_spoken_texts
from tasks.corpus.utterances.language import other_language
from tasks.corpus.utterances.text import Normaliser
from tasks.media.languages import same_language

PAD_MS = 100  # captions are timed by hand: a word often starts a little before its cue
MAX_GAP_MS = 800  # captions further apart are not joined
MAX_OVERLAP_MS, MAX_OVERLAP_SHARE = 500, 0.25  # beyond this (share of the shorter cue), the word order is unknown
CUT_AT_SENTENCE_SHARE = 0.5  # of the join duration; from there on, the end of a sentence ends the utterance


@dataclass(frozen=True)
class CutRules:
    """Limits for utterances. Ranges are inclusive."""

    normaliser: Normaliser
    min_duration_ms: int
    max_duration_ms: int
    join_duration_ms: int
    min_characters_per_s: float
    max_characters_per_s: float


@dataclass(frozen=True)
class CutUtterance:
    """A span of a programme with the text spoken in it. `end_ms` is None if it is known only after decoding."""

    start_ms: int
    end_ms: int | None
    text: str
    speaker: str = ""

    @property
    def duration_ms(self) -> int:
        return (self.end_ms or self.start_ms) - self.start_ms


@dataclass(frozen=True)
class DroppedUtterance:
    """An utterance left out of the dataset, and why."""

    utterance: CutUtterance
    reason: Reason
    detail: str = ""


def cut(
    supervisions: Sequence[Supervision],
    rules: CutRules,
    *,
    join: bool,
    problems: Sequence[TranscriptProblem] = (),
) -> tuple[list[CutUtterance], list[DroppedUtterance]]:
    """Return the utterances ordered by time, and those dropped on the transcript's evidence alone.

    With `join`, consecutive captions with short gaps become one utterance, but not across a dropped cue or one of the
    transcript's `problems`, where spoken words are missing.
    """
    cues: list[CutUtterance] = []
    dropped: list[DroppedUtterance] = []
    barriers: set[int] = set()  # positions in `cues`: the cue there is not joined to the one before
    ordered = sorted(supervisions, key=lambda s: (s.start_s, s.end_s or 0.0))
    language = rules.normaliser.language
    texts = with_spoken_texts(ordered, language) if join else [(s, s.text) for s in ordered]
    for supervision, text in texts:
        cue = CutUtterance(
            start_ms=round(supervision.start_s * 1000),
            end_ms=None if supervision.end_s is None else round(supervision.end_s * 1000),
            text=rules.normaliser(text),
            speaker=supervision.speaker,
        )
        if fault := _transcript_fault(cue, supervision, rules):
            dropped.append(fault)
            barriers.add(len(cues))
        else:
            cues.append(cue)
    barriers |= _find_barriers(cues, problems)
    cues, barriers = _remove_overlaps(cues, barriers, rules, dropped, _find_interrupted(cues, problems))
    utterances = pad(_joined(cues, barriers, rules) if join else cues)
    kept = []
    for utterance in utterances:
        if utterance.end_ms is not None and (fault := check(utterance, rules)):
            dropped.append(fault)
        else:
            kept.append(utterance)
    return kept, dropped


def _find_barriers(cues: Sequence[CutUtterance], problems: Sequence[TranscriptProblem]) -> set[int]:
    """Return the positions in `cues`, ordered by start, before which spoken words are missing."""
    starts = [cue.start_ms for cue in cues]
    barriers: set[int] = set()
    for problem in problems:
        if problem.after_s is not None:
            barriers.add(bisect_right(starts, round(problem.after_s * 1000)))
        for time_s in (problem.start_s, problem.end_s):
            if time_s is not None:  # before and after a cue that begins at that time
                barriers |= {bisect_left(starts, round(time_s * 1000)), bisect_right(starts, round(time_s * 1000))}
    return barriers


def _find_interrupted(
    cues: Sequence[CutUtterance], problems: Sequence[TranscriptProblem]
) -> dict[int, DroppedUtterance]:
    """Return by position the cues within which a problem without a usable end begins: their text is incomplete."""
    starts = [cue.start_ms for cue in cues]
    faults: dict[int, DroppedUtterance] = {}
    for problem in problems:
        if problem.start_s is None or problem.end_s not in (None, problem.start_s):
            continue  # with times in the wrong order, either may be wrong
        time_ms = round(problem.start_s * 1000)
        number = bisect_right(starts, time_ms) - 1
        if number < 0 or cues[number].end_ms is None:
            continue
        cue = cues[number]
        margin_ms = min(MAX_OVERLAP_MS, MAX_OVERLAP_SHARE * cue.duration_ms)
        if cue.start_ms + margin_ms < time_ms < _end_ms(cue) - margin_ms:
            detail = f"{problem}, which begins within {cue.text[:60]!r}"
            faults[number] = DroppedUtterance(cue, Reason.OVERLAP, detail)
    return faults


def _transcript_fault(cue: CutUtterance, supervision: Supervision, rules: CutRules) -> DroppedUtterance | None:
    """Return the cue as dropped if its times, language or text are unusable, else None."""
    if cue.start_ms < 0 or (cue.end_ms is not None and cue.end_ms <= cue.start_ms):
        empty = replace(cue, end_ms=cue.start_ms)
        return DroppedUtterance(empty, Reason.TRANSCRIPT_OUT_OF_RANGE, f"from {cue.start_ms} to {cue.end_ms} ms")
    quote = f"{supervision.text[:60]!r}"
    if supervision.language and not same_language(supervision.language, rules.normaliser.language):
        return DroppedUtterance(cue, Reason.LANGUAGE, f"is {supervision.language!r}: {quote}")
    if not cue.text:
        return DroppedUtterance(cue, Reason.TRANSCRIPT_EMPTY, f"nothing spoken in {quote}")
    if unknown := rules.normaliser.unknown_characters(cue.text):
        return DroppedUtterance(cue, Reason.ALPHABET, f"contains {unknown[:20]!r}: {quote}")
    return None


def check(utterance: CutUtterance, rules: CutRules) -> DroppedUtterance | None:
    """Return an utterance with a known end as dropped if it breaks a rule, else None."""
    duration_ms = utterance.duration_ms
    if duration_ms < rules.min_duration_ms:
        return DroppedUtterance(utterance, Reason.TOO_SHORT, f"{duration_ms / 1000:g} s")
    if duration_ms > rules.max_duration_ms:
        return _too_long(utterance)
    rate = len(utterance.text) / (duration_ms / 1000)
    if not rules.min_characters_per_s <= rate <= rules.max_characters_per_s:
        return DroppedUtterance(
            utterance, Reason.CHARACTER_RATE, f"{rate:.1f} characters a second: {utterance.text[:60]!r}"
        )
    if other := other_language(utterance.text, rules.normaliser.language):
        return DroppedUtterance(utterance, Reason.LANGUAGE, f"looks like {other!r}: {utterance.text[:60]!r}")
    return None


def _too_long(utterance: CutUtterance) -> DroppedUtterance:
    return DroppedUtterance(utterance, Reason.TOO_LONG, f"{utterance.duration_ms / 1000:g} s")


def _remove_overlaps(
    cues: Sequence[CutUtterance],
    barriers: set[int],
    rules: CutRules,
    dropped: list[DroppedUtterance],
    interrupted: dict[int, DroppedUtterance],
) -> tuple[list[CutUtterance], set[int]]:
    """Return the cues, ordered by start, that do not overlap others, and the new positions of the barriers.

    `interrupted` cues are dropped in any case. Of identical cues one is kept. Cues with different words at the same
    time are all dropped, since none is the complete text of that audio. A cue that is too long itself does not cause
    the cues within it to be dropped.
    """
    faults = dict(interrupted)
    latest = -1  # position of the earlier cue that ends last: no other can overlap more
    for number, cue in enumerate(cues):
        if cue.duration_ms > rules.max_duration_ms:
            faults[number] = _too_long(cue)
            continue
        if latest >= 0 and _overlap(cues[latest], cue):
            other = cues[latest]
            if (cue.start_ms, cue.end_ms, cue.text) == (other.start_ms, other.end_ms, other.text):
                faults[number] = DroppedUtterance(cue, Reason.DUPLICATE, f"occurs twice: {cue.text[:60]!r}")
                continue
            for index, beside in ((latest, cue), (number, other)):
                faults.setdefault(
                    index, DroppedUtterance(cues[index], Reason.OVERLAP, f"at the same time: {beside.text[:60]!r}")
                )
        if latest < 0 or _end_ms(cue) > _end_ms(cues[latest]):
            latest = number
    dropped.extend(faults.values())
    kept: list[CutUtterance] = []
    kept_barriers: set[int] = set()
    for number, cue in enumerate(cues):
        if number in barriers or (number in faults and faults[number].reason is not Reason.DUPLICATE):
            kept_barriers.add(len(kept))
        if number not in faults:
            kept.append(cue)
    return kept, kept_barriers


def _overlap(first: CutUtterance, second: CutUtterance) -> bool:
    """Whether two cues overlap too much; `first` starts first."""
    overlap_ms = min(_end_ms(first), _end_ms(second)) - second.start_ms
    shorter_ms = min(_end_ms(cue) - cue.start_ms for cue in (first, second))
    return overlap_ms > min(MAX_OVERLAP_MS, MAX_OVERLAP_SHARE * shorter_ms)


def _end_ms(cue: CutUtterance) -> float:
    return math.inf if cue.end_ms is None else cue.end_ms


def _joined(cues: Sequence[CutUtterance], barriers: set[int], rules: CutRules) -> list[CutUtterance]:
    joined: list[CutUtterance] = []
    for index, cue in enumerate(cues):
        if joined and index not in barriers and _belong_together(joined[-1], cue, rules):
            last = joined[-1]
            joined[-1] = replace(
                last,
                end_ms=max(last.end_ms or 0, cue.end_ms or 0),
                text=f"{last.text} {cue.text}",
                speaker=last.speaker or cue.speaker,
            )
        else:
            joined.append(cue)
    return joined


def _belong_together(last: CutUtterance, cue: CutUtterance, rules: CutRules) -> bool:
    if last.end_ms is None or cue.end_ms is None:
        return False
    is_long = last.duration_ms >= CUT_AT_SENTENCE_SHARE * rules.join_duration_ms
    return (
        -MAX_OVERLAP_MS <= cue.start_ms - last.end_ms <= MAX_GAP_MS
        and (last.speaker == cue.speaker or not (last.speaker and cue.speaker))
        and cue.end_ms - last.start_ms <= rules.join_duration_ms
        and not (is_long and last.text.endswith((".", "?")))
    )


def pad(utterances: Sequence[CutUtterance]) -> list[CutUtterance]:
    """Extend utterances by up to `PAD_MS` on either side, at most half the gap to a neighbour.

    Overlapping neighbours are cut in the middle of the overlap, so no audio is in two utterances.
    """
    padded = []
    for index, utterance in enumerate(utterances):
        before_ms = utterance.start_ms
        if index:
            before_ms = _half_gap(utterances[index - 1].end_ms, utterance.start_ms)
        after_ms = PAD_MS
        if index + 1 < len(utterances):
            after_ms = _half_gap(utterance.end_ms, utterances[index + 1].start_ms)
        padded.append(
            replace(
                utterance,
                start_ms=utterance.start_ms - min(PAD_MS, before_ms),
                end_ms=None if utterance.end_ms is None else utterance.end_ms + min(PAD_MS, after_ms),
            )
        )
    return padded


def _half_gap(end_ms: int | None, start_ms: int) -> int:
    return (start_ms - end_ms) // 2 if end_ms is not None else 0


def covered_ms(utterances: Iterable[CutUtterance]) -> int:
    """Return the total time covered by at least one utterance."""
    total_ms = covered_until_ms = 0
    for utterance in sorted(utterances, key=lambda u: u.start_ms):
        end_ms = utterance.end_ms or utterance.start_ms
        total_ms += max(0, end_ms - max(covered_until_ms, utterance.start_ms))
        covered_until_ms = max(covered_until_ms, end_ms)
    return total_ms
