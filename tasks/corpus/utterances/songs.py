"""Remove sung text by the marks of captioners.

Music notes, or `#` and `*` between white space, mark a song at its beginning and end, before every line and after the
last (SubtitleEdit/subtitleedit#5880), or only before each line (BBC). A song continues over lines and captions until
its end mark, including captions without marks.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.corpus.utterances.labels import begins_new_speaker

MAX_SONG_CAPTIONS = 20  # without marks between the beginning and end of a song
MAX_PAUSE_S = 8.0  # between captions of a song

_NOTES = "♪♫♩♬🎵🎶🎼¶"
NOTE = re.compile(f"[{_NOTES}]")
_MARK = re.compile(rf"[{_NOTES}]+|(?:^|(?<=\s))[#*]{{1,4}}(?=[\s.,!?]|$)")
_WORD = re.compile(r"[^\W_]")


@dataclass(frozen=True)
class _Mark:
    """One mark, or several separated only by white space."""

    start: int
    end: int
    is_note: bool
    n_signs: int


@dataclass(frozen=True)
class _Line:
    text: str
    marks: tuple[_Mark, ...]
    is_lone: bool
    """Whether it consists of marks without words."""
    leads: bool
    """Whether a mark precedes the first word."""
    trails: bool
    """Whether a mark follows the last word."""

    @property
    def is_marked(self) -> bool:
        """Whether its marks begin or end a song. A single `#` inside a line is an ordinary character."""
        return bool(self.marks) and (
            self.leads or self.trails or len(self.marks) > 1 or any(mark.is_note for mark in self.marks)
        )


def without_songs(text: str) -> str:
    """Return the text of one caption without its sung parts."""
    if not _has_marks(text):
        return text
    return _remove_sung(_parse_lines(text), is_sung=False)[0]


def without_songs_in(captions: Sequence[tuple[float, float, str]]) -> list[str]:
    """Return the texts of consecutive captions (start, end, text) without songs, which may span several captions."""
    marked_lines = [_parse_lines(text) if _has_marks(text) else None for _, _, text in captions]
    closes = _find_closing_marks(captions, marked_lines)
    texts: list[str] = []
    is_open = False
    for number, (start_s, _, text) in enumerate(captions):
        lines = marked_lines[number]
        is_sung = is_open and closes[number] and start_s - captions[number - 1][1] <= MAX_PAUSE_S
        if lines is None and not is_sung:
            texts.append(text)
            is_open = False
            continue
        spoken, is_open = _remove_sung(lines or _parse_lines(text), is_sung=is_sung)
        texts.append(spoken)
    return texts


def _find_closing_marks(
    captions: Sequence[tuple[float, float, str]], marked_lines: Sequence[list[_Line] | None]
) -> list[bool]:
    """Return for each caption whether the next mark ends a song. If so, an open song includes the caption."""
    closes = [False] * len(captions)
    is_closing, n_without = False, 0
    for number in reversed(range(len(captions))):
        lines = marked_lines[number]
        if number + 1 < len(captions) and captions[number + 1][0] - captions[number][1] > MAX_PAUSE_S:
            is_closing = False
        marked = next((line for line in lines or () if line.is_marked and not line.is_lone), None)
        if marked:
            is_closing, n_without = not marked.leads, 0
        elif lines is not None and any(line.is_lone for line in lines):
            is_closing = False  # instrumental music
        else:
            n_without += 1
        closes[number] = is_closing and n_without <= MAX_SONG_CAPTIONS
    return closes


def _has_marks(text: str) -> bool:
    return any(sign in text for sign in _NOTES) or "#" in text or "*" in text


def _parse_lines(text: str) -> list[_Line]:
    return [_parse_line(line.strip()) for line in text.split("\n")]


def _parse_line(text: str) -> _Line:
    marks: list[_Mark] = []
    for match in _MARK.finditer(text):
        is_note = match.group()[0] in _NOTES
        if marks and not text[marks[-1].end : match.start()].strip():
            last = marks[-1]
            marks[-1] = _Mark(last.start, match.end(), last.is_note or is_note, last.n_signs + len(match.group()))
        else:
            marks.append(_Mark(match.start(), match.end(), is_note, len(match.group())))
    if not marks:
        return _Line(text, (), is_lone=False, leads=False, trails=False)
    before = text[: marks[0].start]
    leads = not _WORD.search(before) or (begins_new_speaker(before + "x") and before.rstrip().endswith(":"))
    trails = not _WORD.search(text, marks[-1].end)
    is_lone = trails and not _WORD.search(before) and len(marks) == 1
    return _Line(text, tuple(marks), is_lone=is_lone, leads=leads, trails=trails)


def _remove_sung(lines: Sequence[_Line], *, is_sung: bool) -> tuple[str, bool]:
    """Return the spoken text of a caption, and whether a song is open at its end."""
    n_lone = sum(line.is_lone for line in lines)
    spoken: list[str] = []
    for number, line in enumerate(lines):
        if line.is_lone:
            (mark,) = line.marks
            if n_lone > 1 or (number == 0 and mark.n_signs == 1 and len(lines) > 1):
                is_sung = not is_sung
        elif not line.is_marked:
            is_sung = is_sung and not begins_new_speaker(line.text)
            if not is_sung:
                spoken.append(line.text)
        elif _ends_unopened_song(line, is_sung=is_sung):
            # The whole line is sung, and the lines above it up to a new speaker.
            while spoken and not begins_new_speaker(spoken[-1]):
                spoken.pop()
        else:
            kept, is_sung = _keep_spoken(line, is_sung=is_sung)
            if kept:
                spoken.append(kept)
    return "\n".join(spoken), is_sung


def _ends_unopened_song(line: _Line, *, is_sung: bool) -> bool:
    """Whether a line has an end mark only. Two notes after speech are music that begins."""
    return not is_sung and line.trails and not line.leads and len(line.marks) == 1 and line.marks[0].n_signs == 1


def _keep_spoken(line: _Line, *, is_sung: bool) -> tuple[str, bool]:
    """Return the spoken parts of a line with marks and words, and whether a song is open at its end."""
    marks = line.marks
    if line.leads and line.trails and len(marks) > 1:
        return "", False
    if line.trails and is_sung:
        return "", False
    if line.trails and len(marks) == 1:
        return line.text[: marks[0].start].strip(), False
    if line.leads:
        is_sung = False  # the first mark begins a line of a song, even if one is open
    edges = [0, *(edge for mark in marks for edge in (mark.start, mark.end)), len(line.text)]
    parts = [line.text[edges[n] : edges[n + 1]] for n in range(0, len(edges), 2)]
    kept = parts[1::2] if is_sung else parts[::2]
    if line.trails:  # not leading: speech, then a song to the line's end
        return parts[0].strip(), False
    return " ".join(part.strip() for part in kept if part.strip()), is_sung == (len(marks) % 2 == 0)
