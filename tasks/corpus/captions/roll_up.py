"""Remove the repetitions of roll-up captions.

Live captions scroll: each cue repeats the last line of the previous one and adds a new one, adds words to its text
(paint-on), or repeats a whole cue to highlight a word. Without this step, every line would occur twice or more.
Programmes with prepared captions contain live inserts (pbs/pycaption#183), so each run of cues is classified on its
own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.corpus.captions.chains import shorten_chains
from tasks.corpus.records import Supervision

MAX_GAP_S = 0.15  # scrolling cues follow each other immediately
MAX_RUN_GAP_S = 0.5  # in a run with enough evidence for live captions
MIN_SHARE, MIN_CUES = 0.3, 4  # cues of a file that repeat and add lines; with fewer, each run needs its own evidence
# In a run: number of cues that repeat and add words, and characters repeated. "No." then "No.\nNever." is speech.
MIN_EVIDENCE = ((2, 30), (3, 20))
MIN_WORDS = 3  # repeated inside a line
MAX_WORDS = 300  # more than any scrolling caption has
MAX_CHARACTERS_PER_S = 25  # of speech; a run that repeats one cue has more
MAX_FLASH_CHARACTERS_PER_S = 60  # a cue with more is shown too briefly to be spoken

_WORD = re.compile(r"\S+")


@dataclass(frozen=True)
class _Repeat:
    """How a cue repeats the end of the one before it."""

    n_words: int = 0
    """Number of its first words that are the last words of the previous cue."""
    n_characters: int = 0
    has_new: bool = False
    breaks_word: bool = False
    """Whether the previous cue ends inside a word that this one completes."""
    are_lines: bool = False
    """Whether whole lines repeat, without a gap between the cues."""

    def __bool__(self) -> bool:
        return self.n_words > 0 or self.breaks_word


def remove_display_effects(cues: Sequence[Supervision]) -> list[Supervision]:
    """Return the cues ordered by time, without the overlaps and repetitions of automatic and live captions."""
    return unroll(shorten_chains(cues))


def unroll(cues: Sequence[Supervision]) -> list[Supervision]:
    """Return the cues ordered by time, without the words that repeat the previous cue."""
    ordered = sorted(cues, key=lambda cue: cue.start_s)
    words = [cue.text.split() for cue in ordered]
    repeats = [_Repeat()] * min(1, len(ordered))
    repeats += [_find_repeat(ordered[n - 1], ordered[n], words[n - 1], words[n]) for n in range(1, len(ordered))]
    n_scrolled = sum(repeat.are_lines and repeat.has_new for repeat in repeats)
    is_live = n_scrolled >= MIN_CUES and n_scrolled >= MIN_SHARE * len(ordered)
    repeats = _keep_display_repeats(ordered, repeats, is_live=is_live)
    unrolled: list[Supervision] = []
    for cue, repeat in zip(ordered, repeats, strict=True):
        if repeat.breaks_word and unrolled:
            before = unrolled.pop()
            if rest := before.text.rstrip()[: -len(before.text.split()[-1])].rstrip():
                unrolled.append(before.model_copy(update={"text": rest}))
        text = _without_words(cue.text, repeat.n_words)
        if text or not repeat:
            unrolled.append(cue.model_copy(update={"text": text}) if repeat.n_words else cue)
        elif unrolled:  # nothing new: extend the previous cue
            unrolled[-1] = unrolled[-1].model_copy(update={"end_s": cue.end_s})
    return unrolled


def _keep_display_repeats(cues: Sequence[Supervision], repeats: Sequence[_Repeat], *, is_live: bool) -> list[_Repeat]:
    """Keep the repeats caused by the display: in runs with enough evidence, or of lines in a live file."""
    kept = [repeat if is_live and repeat.are_lines else _Repeat() for repeat in repeats]
    start = 0
    while start < len(repeats):
        end = start + 1
        while end < len(repeats) and repeats[end]:
            end += 1
        # The first cue of a run repeats nothing.
        if end > start + 1 and _is_display(cues[start:end], repeats[start + 1 : end]):
            kept[start + 1 : end] = repeats[start + 1 : end]
        start = end
    return kept


def _is_display(cues: Sequence[Supervision], repeats: Sequence[_Repeat]) -> bool:
    """Whether a run of cues, each repeating the previous one, is caused by the display."""
    if any(_is_flash(cue) for cue, repeat in zip(cues[1:], repeats, strict=True) if not repeat.has_new):
        return True
    scrolls = [repeat.n_characters for repeat in repeats if repeat.has_new]
    if scrolls:
        return any(len(scrolls) >= n and sum(scrolls) >= n_characters for n, n_characters in MIN_EVIDENCE)
    duration_s = (cues[-1].end_s or cues[-1].start_s) - cues[0].start_s
    return sum(len(cue.text) for cue in cues) > MAX_CHARACTERS_PER_S * duration_s


def _is_flash(cue: Supervision) -> bool:
    """Whether a cue is too short to be spoken: YouTube repeats each line for 10 ms before it scrolls."""
    return len(cue.text) > MAX_FLASH_CHARACTERS_PER_S * ((cue.end_s or cue.start_s) - cue.start_s)


def _find_repeat(before: Supervision, cue: Supervision, old: Sequence[str], new: Sequence[str]) -> _Repeat:
    if before.end_s is None or before.start_s == cue.start_s or not 0 < min(len(old), len(new)) <= MAX_WORDS:
        return _Repeat()
    gap_s = abs(cue.start_s - before.end_s)
    if gap_s > MAX_RUN_GAP_S or before.language != cue.language:
        return _Repeat()
    n_words = _count_common(old, new)
    are_lines = bool(n_words) and _are_lines(before.text, cue.text, n_words)
    if n_words >= MIN_WORDS or are_lines or (n_words and n_words == len(old)):
        return _Repeat(
            n_words,
            n_characters=sum(map(len, new[:n_words])) + n_words - 1,
            has_new=n_words < len(new),
            are_lines=are_lines and gap_s <= MAX_GAP_S,
        )
    if len(new) >= len(old) and old[:-1] == new[: len(old) - 1] and new[len(old) - 1].startswith(old[-1]):
        return _Repeat(len(old) - 1, sum(map(len, old)) + len(old) - 1, has_new=True, breaks_word=True)
    return _Repeat()


def _count_common(old: Sequence[str], new: Sequence[str]) -> int:
    """Return the length of the longest suffix of `old` that is a prefix of `new` (Knuth-Morris-Pratt, linear)."""
    borders = [0] * len(new)
    length = 0
    for n in range(1, len(new)):
        while length and new[n] != new[length]:
            length = borders[length - 1]
        length += new[n] == new[length]
        borders[n] = length
    length = 0
    for word in old:
        while length and (length == len(new) or word != new[length]):
            length = borders[length - 1]
        length += word == new[length]
    return length


def _are_lines(before: str, cue: str, n_words: int) -> bool:
    """Whether the common words are whole lines of both texts."""
    return _is_line_start(before.split("\n")[::-1], n_words) and _is_line_start(cue.split("\n"), n_words)


def _is_line_start(lines: Sequence[str], n_words: int) -> bool:
    for line in lines:
        if n_words <= 0:
            break
        n_words -= len(line.split())
    return n_words == 0


def _without_words(text: str, n_words: int) -> str:
    """Return the text after its first `n_words` words."""
    if not n_words:
        return text
    end = 0
    for count, word in enumerate(_WORD.finditer(text), start=1):
        end = word.end()
        if count == n_words:
            break
    return text[end:].strip()
