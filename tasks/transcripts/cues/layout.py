"""Which words stand together: the cheapest cut of a programme into cues of one or two lines.

Dynamic programming over the word boundaries, as Knuth and Plass break paragraphs ("Breaking Paragraphs into
Lines", 1981): the best layout of the first n words ends with some cue, and before that cue stands the best
layout of the words before it. A cue holds at most two lines of words, so the work is linear in the programme.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import inf

from tasks.transcripts.cues.breaks import boundary_costs
from tasks.transcripts.cues.profiles import CueProfile
from tasks.transcripts.document import Word
from tasks.transcripts.text import display_width, space_between

DASH = "- "  # before each line of a cue in which two speak

# Costs, on the scale of `breaks`; chosen by reading the results.
_ONE_CUE = 10.0
_CUE_BREAK = 1.5  # times the boundary's cost: the viewer loses the words before it from sight
_LINE_BREAK = 0.6
_SENTENCE_ENDS_INSIDE = 6.0  # a cue that holds the end of one sentence and the start of the next
_SENTENCE_ENDS_A_LINE = 3.0  # the same, but broken there
_DIALOGUE = 2.0
_COLUMN_UNBALANCED = 0.15
_MS_TOO_FAST = 0.01  # for each millisecond that reading takes longer than the cue can stay
_MS_OF_PAUSE = 0.02  # for each millisecond that words wait for a pause inside the cue, beyond a short one
_SHORT_PAUSE_MS = 500


@dataclass(frozen=True, slots=True)
class Block:
    """Words of one cue, as indices: its first line is [first, second), its second line [second, end)."""

    first: int
    second: int
    end: int


def best_blocks(
    words: Sequence[Word],
    voices: Sequence[str | None],
    line_widths: Sequence[int],
    language: str,
    profile: CueProfile,
) -> list[Block]:
    """`voices` and `line_widths`: each word's speaker and the width of a line in his colour, shape
    (n_words,).

    Every block keeps the limits of width and duration, except a single word that alone is over them.
    """
    if not words:
        return []
    costs = BlockCosts(words, voices, line_widths, language, profile)
    best, chosen = [0.0] + [inf] * len(words), [Block(0, 0, 0)] * (len(words) + 1)
    earliest = 0
    for end in range(1, len(words) + 1):
        while not costs.may_hold(earliest, end):
            earliest += 1
        least = costs.least_cost(end)
        for first in range(earliest, end):
            if best[first] + least < best[end]:
                cost, second = costs.cost(first, end)
                if best[first] + cost < best[end]:
                    best[end], chosen[end] = best[first] + cost, Block(first, second, end)
    blocks, end = [], len(words)
    while end > 0:
        blocks.append(chosen[end])
        end = chosen[end].first
    return blocks[::-1]


class BlockCosts:
    """A programme's words as running sums, so that a cue's cost is a matter of differences."""

    def __init__(
        self,
        words: Sequence[Word],
        voices: Sequence[str | None],
        line_widths: Sequence[int],
        language: str,
        profile: CueProfile,
    ) -> None:
        self._profile = profile
        self._line_widths = line_widths
        self._starts_ms = [word.start_ms for word in words]
        # When a cue before each boundary has to be gone.
        self._leave_ms = [end_ms + profile.linger_ms for end_ms in (0, *(word.end_ms for word in words))]
        for boundary, start_ms in enumerate(self._starts_ms[1:], start=1):
            self._leave_ms[boundary] = min(self._leave_ms[boundary], start_ms - profile.gap_ms)
        # When a cue before each boundary can go at the earliest.
        self._stay_ms = [0, *(profile.end_ms(one.end_ms, after.start_ms) for one, after in pairwise(words))]
        self._stay_ms.append(words[-1].end_ms)
        # The columns of the space at each boundary, and of all words and spaces before what follows it.
        self._space = [0, *(len(space_between(one.text, after.text, language)) for one, after in pairwise(words)), 0]
        widths = [display_width(word.text) for word in words]
        self._columns = [0, *accumulate(map(sum, zip(widths, self._space[1:], strict=True)))]
        speed = profile.reading_speed
        self._reading_ms = [0, *accumulate(speed.fastest_ms([word.text]) for word in words)]
        # Boundary b stands before word b; a sum at b counts the boundaries before b.
        self._changes = [False, *(before != after for before, after in pairwise(voices)), False]
        self._n_changes = [0, *accumulate(self._changes)]
        costs = boundary_costs(words, language)
        self._cue_break = [_CUE_BREAK * cost for cost in costs]
        inside = [_SENTENCE_ENDS_INSIDE if cost == 0 else 0.0 for cost in costs]
        for boundary, (before, after) in enumerate(pairwise(words), start=1):
            pause_ms = after.start_ms - before.end_ms
            inside[boundary] += _MS_OF_PAUSE * max(0, pause_ms - _SHORT_PAUSE_MS)
        self._inside = [0.0, *accumulate(inside)]
        relief = _SENTENCE_ENDS_INSIDE - _SENTENCE_ENDS_A_LINE
        self._line_break = [_LINE_BREAK * cost - (relief if cost == 0 else 0.0) for cost in costs]
        self._fits_until = self._last_line_ends()
        self._fits_from = self._first_line_starts()

    def may_hold(self, first: int, end: int) -> bool:
        """Whether one cue may hold words [first, end); if not, none that starts earlier may."""
        return first == end - 1 or (
            self._width(first, end) <= 2 * self._profile.line_width + 1  # the space at which it breaks
            and self._n_changes[end] - self._n_changes[first + 1] <= 1
            and self._stay_ms[end] - self._starts_ms[first] <= self._profile.longest_ms
        )

    def least_cost(self, end: int) -> float:
        """No cue that ends at this boundary costs less."""
        return _ONE_CUE + self._cue_break[end]

    def cost(self, first: int, end: int) -> tuple[float, int]:
        """Of words [first, end) as one cue, and where its second line starts (`end`: it has none)."""
        cost = _ONE_CUE + self._cue_break[end] + self._inside[end] - self._inside[first + 1]
        needed_ms = self._reading_ms[end] - self._reading_ms[first]
        if needed_ms < self._profile.shortest_ms:
            needed_ms = self._profile.shortest_ms
        too_fast_ms = needed_ms - (self._leave_ms[end] - self._starts_ms[first])
        if too_fast_ms > 0:
            cost += _MS_TOO_FAST * too_fast_ms
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
            cost = self._line_break[boundary] + _COLUMN_UNBALANCED * unbalanced
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
        """For each word the last boundary at which a line that starts with it may end."""
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
        """For each boundary the first at which a line that ends there may start."""
        first, starts = 0, [0]
        for end, width in enumerate(self._line_widths, start=1):
            while first > 0 and self._width(first - 1, end) <= width:
                first -= 1
            while first < end - 1 and self._width(first, end) > width:
                first += 1
            starts.append(first)
        return starts
