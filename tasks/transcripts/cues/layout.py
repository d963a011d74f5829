"""The cheapest layout of a programme's words in cues of one or two lines.

Dynamic programming over word boundaries, as in Knuth and Plass, "Breaking Paragraphs into Lines" (1981): the best
layout of the first n words is some last cue, preceded by the best layout of the words before it. A cue holds at most
two lines of words, so the time is linear in the length of the programme.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import inf

from tasks.transcripts.cues.breaks import boundary_costs
from tasks.transcripts.cues.profiles import CueProfile
from tasks.transcripts.document import Word
from tasks.transcripts.text import display_width, space_between

DASH = "- "  # before each line of a dialogue

# Costs, on the scale of `breaks`; tuned by reading the results.
ONE_CUE = 10.0
_CUE_BREAK = 1.5  # factor on the boundary's cost: the preceding words disappear from the screen
_LINE_BREAK = 0.6  # factor on the boundary's cost
_SENTENCE_ENDS_INSIDE = 6.0  # a cue contains the end of a sentence and the start of the next
_SENTENCE_ENDS_A_LINE = 3.0  # the same, but the line breaks there
_DIALOGUE = 2.0
_PER_COLUMN_UNBALANCED = 0.15
_PER_MS_TOO_FAST = 0.01  # per millisecond of reading time that exceeds the time on screen
_PER_MS_OF_PAUSE = 0.02  # per millisecond of a pause within the cue, beyond a short one
_SHORT_PAUSE_MS = 500


@dataclass(frozen=True, slots=True)
class Block:
    """The words of one cue as indices: first line [first, second), second line [second, end)."""

    first: int
    second: int
    end: int


def best_blocks(
    words: Sequence[Word],
    speakers: Sequence[str | None],
    line_widths: Sequence[int],
    language: str,
    profile: CueProfile,
    breaks: Collection[int] = (),
) -> list[Block]:
    """Return the cheapest blocks. Per word, shape (n_words,): `speakers`, and `line_widths` in the speaker's colour.
    `breaks`: boundaries at which a block must end.

    Every block is within the limits of width and duration, except a single word that exceeds them alone.
    """
    if not words:
        return []
    costs = BlockCosts(words, speakers, line_widths, language, profile, breaks)
    best = [0.0] + [inf] * len(words)
    chosen = [(0, 0)] * (len(words) + 1)  # first and second line of the best last block before each boundary
    earliest = 0
    for end in range(1, len(words) + 1):
        while not costs.can_hold(earliest, end):
            earliest += 1
        least = costs.min_cost(end)
        for first in range(earliest, end):
            if best[first] + least < best[end]:
                cost, second = costs.cost(first, end)
                if best[first] + cost < best[end]:
                    best[end], chosen[end] = best[first] + cost, (first, second)
    blocks, end = [], len(words)
    while end > 0:
        first, second = chosen[end]
        blocks.append(Block(first, second, end))
        end = first
    return blocks[::-1]


class BlockCosts:
    """Costs of cues, from prefix sums over a programme's words: a cue's cost is a few differences."""

    def __init__(
        self,
        words: Sequence[Word],
        speakers: Sequence[str | None],
        line_widths: Sequence[int],
        language: str,
        profile: CueProfile,
        breaks: Collection[int] = (),
    ) -> None:
        self._profile = profile
        self._line_widths = line_widths
        self._starts_ms = [word.start_ms for word in words]
        # Latest end of a cue before each boundary.
        self._latest_end_ms = [end_ms + profile.max_hold_ms for end_ms in (0, *(word.end_ms for word in words))]
        for boundary, start_ms in enumerate(self._starts_ms[1:], start=1):
            self._latest_end_ms[boundary] = min(self._latest_end_ms[boundary], start_ms - profile.min_gap_ms)
        # Earliest end of a cue before each boundary.
        self._earliest_end_ms = [0, *(profile.end_ms(one.end_ms, after.start_ms) for one, after in pairwise(words))]
        self._earliest_end_ms.append(words[-1].end_ms)
        # Columns of the space at each boundary, and of all words and spaces up to each boundary.
        self._space = [0, *(len(space_between(one.text, after.text, language)) for one, after in pairwise(words)), 0]
        widths = [display_width(word.text) for word in words]
        self._columns = [0, *accumulate(map(sum, zip(widths, self._space[1:], strict=True)))]
        speed = profile.reading_speed
        self._reading_ms = [0, *accumulate(speed.min_reading_ms([word.text]) for word in words)]
        # Boundary b precedes word b; a prefix sum at b covers the boundaries before b.
        self._changes = [False, *(before != after for before, after in pairwise(speakers)), False]
        self._n_changes = [0, *accumulate(self._changes)]
        self._n_breaks = [0, *accumulate(boundary in breaks for boundary in range(len(words) + 1))]
        costs = boundary_costs(words, language)
        self._cue_break = [_CUE_BREAK * cost for cost in costs]
        inside = [_SENTENCE_ENDS_INSIDE if cost == 0 else 0.0 for cost in costs]
        for boundary, (before, after) in enumerate(pairwise(words), start=1):
            pause_ms = after.start_ms - before.end_ms
            inside[boundary] += _PER_MS_OF_PAUSE * max(0, pause_ms - _SHORT_PAUSE_MS)
        self._inside = [0.0, *accumulate(inside)]
        discount = _SENTENCE_ENDS_INSIDE - _SENTENCE_ENDS_A_LINE
        self._line_break = [_LINE_BREAK * cost - (discount if cost == 0 else 0.0) for cost in costs]
        self._fits_until = self._last_line_ends()
        self._fits_from = self._first_line_starts()

    def can_hold(self, first: int, end: int) -> bool:
        """Whether one cue can hold words [first, end). If not, none that starts earlier can."""
        return first == end - 1 or (
            self._width(first, end) <= 2 * self._profile.line_width + 1  # the space at the line break
            and self._n_changes[end] - self._n_changes[first + 1] <= 1
            and self._n_breaks[end] == self._n_breaks[first + 1]
            and self._earliest_end_ms[end] - self._starts_ms[first] <= self._profile.max_duration_ms
        )

    def min_cost(self, end: int) -> float:
        """Lower bound for the cost of a cue that ends at this boundary."""
        return ONE_CUE + self._cue_break[end]

    def cost(self, first: int, end: int) -> tuple[float, int]:
        """Return the cost of words [first, end) as one cue, and the start of its second line (`end` if it has none)."""
        cost = ONE_CUE + self._cue_break[end] + self._inside[end] - self._inside[first + 1]
        needed_ms = self._reading_ms[end] - self._reading_ms[first]
        if needed_ms < self._profile.min_duration_ms:
            needed_ms = self._profile.min_duration_ms
        too_fast_ms = needed_ms - (self._latest_end_ms[end] - self._starts_ms[first])
        if too_fast_ms > 0:
            cost += _PER_MS_TOO_FAST * too_fast_ms
        if self._n_changes[end] > self._n_changes[first + 1]:
            line_cost, second = self._dialogue(first, end)
        elif self._fits_until[first] < end:
            line_cost, second = self._two_lines(first, end)
        else:
            line_cost, second = 0.0, end
        return cost + line_cost, second

    def _two_lines(self, first: int, end: int) -> tuple[float, int]:
        best, second = inf, end
        both_columns = self._columns[first] + self._columns[end]
        latest = min(self._fits_until[first], end - 1)
        for boundary in range(max(self._fits_from[end], first + 1), latest + 1):
            unbalanced = abs(2 * self._columns[boundary] - both_columns)
            cost = self._line_break[boundary] + _PER_COLUMN_UNBALANCED * unbalanced
            if cost < best:
                best, second = cost, boundary
        return best, second

    def _dialogue(self, first: int, end: int) -> tuple[float, int]:
        second = self._changes.index(True, first + 1, end)
        fits = (
            self._width(first, second) + len(DASH) <= self._line_widths[first]
            and self._width(second, end) + len(DASH) <= self._line_widths[second]
        )
        return (_DIALOGUE + self._line_break[second] if fits else inf), second

    def _width(self, first: int, end: int) -> int:
        return self._columns[end] - self._columns[first] - self._space[end]

    def _last_line_ends(self) -> list[int]:
        """Return for each word the last boundary at which a line starting with it may end."""
        end, ends = 0, []
        for first, width in enumerate(self._line_widths):
            while end < len(self._line_widths) and self._width(first, end + 1) <= width:
                end += 1
            while end > first + 1 and self._width(first, end) > width:
                end -= 1
            end = max(end, first + 1)
            ends.append(end)
        return ends

    def _first_line_starts(self) -> list[int]:
        """Return for each boundary the first boundary at which a line ending there may start."""
        first, starts = 0, [0]
        for end, width in enumerate(self._line_widths, start=1):
            while first > 0 and self._width(first - 1, end) <= width:
                first -= 1
            while first < end - 1 and self._width(first, end) > width:
                first += 1
            starts.append(first)
        return starts
