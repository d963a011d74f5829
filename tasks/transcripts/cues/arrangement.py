"""Words in the order and at the times at which cues show them, where voices overlap.

A cue has one line for each of two voices. So speech of several voices at once is cut into slices of as much time as one
line of each can hold, and in a slice the words of one voice follow those of the other. Two lines with one speaker and
one dash each are the rule of the Netflix Timed Text Style Guide for dual speakers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from tasks.transcripts.cues.breaks import boundary_costs
from tasks.transcripts.cues.layout import DASH, ONE_CUE
from tasks.transcripts.cues.profiles import CueProfile
from tasks.transcripts.document import Word
from tasks.transcripts.reading_order import overlapping_words
from tasks.transcripts.text import display_width, space_between


@dataclass(frozen=True, slots=True)
class Arrangement:
    """Words as cues show them. Sequences have shape `(n_words,)`."""

    words: tuple[Word, ...]
    speakers: tuple[str | None, ...]
    timed: tuple[Word, ...]
    """The words with times that never decrease: a slice's time is divided among its words by their length."""
    breaks: frozenset[int]
    """Boundaries, as indices of the word after them, at which a cue must end: those of slices."""


def arrange(
    words: Sequence[Word],
    speakers: Sequence[str | None],
    line_widths: Mapping[str | None, int],
    language: str,
    profile: CueProfile,
) -> Arrangement:
    """Arrange a transcript's words. Without overlapping voices the order and the times stay as they are."""
    order, timed, breaks = [*range(len(words))], [*words], set[int]()
    for overlap in overlapping_words(words, speakers):
        for slice_ in _slices(words, speakers, overlap, line_widths, language, profile):
            voices = dict.fromkeys(speakers[index] for index in slice_)  # by their start
            by_voice = [index for voice in voices for index in slice_ if speakers[index] == voice]
            order[slice_.start : slice_.stop] = by_voice
            if len(voices) > 1:
                breaks.update((slice_.start, slice_.stop))
                next_ms = words[slice_.stop].start_ms if slice_.stop < len(words) else None
                timed[slice_.start : slice_.stop] = _divide_time(
                    [words[index] for index in by_voice], [speakers[index] for index in by_voice], next_ms
                )
    return Arrangement(
        tuple(words[index] for index in order),
        tuple(speakers[index] for index in order),
        tuple(timed),
        frozenset(breaks),
    )


def _slices(
    words: Sequence[Word],
    speakers: Sequence[str | None],
    overlap: range,
    line_widths: Mapping[str | None, int],
    language: str,
    profile: CueProfile,
) -> list[range]:
    """Divide overlapping speech. A slice that fills its lines ends where that breaks the voices' phrases least."""
    ends = _costs_of_ends(words, speakers, overlap, language)
    slices, first = [], overlap.start
    while first < overlap.stop:
        full = first + _n_fitting(words[first : overlap.stop], speakers[first:], line_widths, language, profile)
        stop = full
        if full < overlap.stop:
            last_of: dict[str | None, int] = {}
            costs = {}
            for index in range(first, full):
                last_of[speakers[index]] = index
                used = (index + 1 - first) / (full - first)
                costs[index + 1] = sum(ends[last] for last in last_of.values()) + ONE_CUE / used
            stop = min(costs, key=lambda boundary: (costs[boundary], -boundary))
        slices.append(range(first, stop))
        first = stop
    return slices


def _costs_of_ends(
    words: Sequence[Word], speakers: Sequence[str | None], overlap: range, language: str
) -> dict[int, float]:
    """Return the cost of a break after each word in the words of its voice."""
    costs: dict[int, float] = {}
    for voice in {speakers[index] for index in overlap}:
        indices = [index for index in overlap if speakers[index] == voice]
        after = boundary_costs([words[index] for index in indices], language)[1:]
        costs.update(zip(indices, after, strict=True))
    return costs


def _n_fitting(
    words: Sequence[Word],
    speakers: Sequence[str | None],
    line_widths: Mapping[str | None, int],
    language: str,
    profile: CueProfile,
) -> int:
    """Return how many words fit one line for each voice and the longest duration of a cue; at least one."""
    columns: dict[str | None, int] = {}
    last: dict[str | None, str] = {}
    for n, (word, voice) in enumerate(zip(words, speakers, strict=False)):
        space = len(space_between(last[voice], word.text, language)) if voice in last else len(DASH)
        columns[voice] = columns.get(voice, 0) + space + display_width(word.text)
        last[voice] = word.text
        is_long = word.end_ms - words[0].start_ms > profile.max_duration_ms
        if n and (is_long or columns[voice] > line_widths[voice]):
            return n
    return len(words)


def _divide_time(words: Sequence[Word], voices: Sequence[str | None], next_ms: int | None) -> list[Word]:
    """Divide the time of the words, until the next word outside, among them by their length. None is before its voice
    begins to speak."""
    begin_ms, end_ms = min(word.start_ms for word in words), max(word.end_ms for word in words)
    if next_ms is not None:
        end_ms = min(end_ms, next_ms)
    first_of: dict[str | None, int] = {}
    for word, voice in zip(words, voices, strict=True):
        first_of.setdefault(voice, word.start_ms)
    n_before = [0, *accumulate(len(word.text) + 1 for word in words)]
    shares_ms = (begin_ms + (end_ms - begin_ms) * n // n_before[-1] for n in n_before)
    earliest_ms = [max(share, first_of[voice]) for share, voice in zip(shares_ms, voices, strict=False)]
    times_ms = [*accumulate(earliest_ms, max), end_ms]
    return [
        word.model_copy(update={"start_ms": from_ms, "end_ms": to_ms})
        for word, (from_ms, to_ms) in zip(words, pairwise(times_ms), strict=True)
    ]
