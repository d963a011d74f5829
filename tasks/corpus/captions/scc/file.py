"""Parse SCC files: lines of a time code and hexadecimal byte pairs, one pair a frame.

ttconv's reader is not used: it silently drops the second channel and field two, crashes on damaged pairs, and drops
the letter before an extended character that has no substitute.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from fractions import Fraction

from tasks.corpus.captions.open_ends import close_open_ends
from tasks.corpus.captions.parsed import ParsedCaptions
from tasks.corpus.captions.problems import ProblemList, TranscriptError, TranscriptProblem
from tasks.corpus.captions.scc.decoder import ChannelDecoder

HEADER = "Scenarist_SCC"
FRAME_RATE = Fraction(30000, 1001)
LABELS_PER_S = 30
_LINE = re.compile(r"(\d{1,2})[:;](\d{1,2})[:;](\d{1,2})([:;.,])(\d{1,2})[ \t]+(\S.*)")
_PAIR = re.compile(r"[0-9A-Fa-f]{4}")
_XDS_END = 0x0F
CHANNELS = ("CC1", "CC2", "CC3", "CC4")


@dataclass
class _Line:
    number: int
    frame: int
    pairs: list[str]
    is_drop_frame: bool
    follows_lost: bool
    """Whether the previous line could not be read."""


def parse_scc(text: str) -> ParsedCaptions:
    """Return the captions of the first channel that has any. Raises TranscriptError if there is no line of captions."""
    lines, problems = _parse_lines(text)
    if not lines and not problems and HEADER in text:
        return ParsedCaptions([], [])
    if not lines:
        raise TranscriptError(problems[0] if problems else TranscriptProblem(1, f"neither {HEADER} nor a caption line"))
    channels = _Channels()
    for line, following in zip(lines, [*lines[1:], None], strict=True):
        # Some tools write more pairs to a line than there are frames until the next line.
        limit = following.frame if following and following.frame > line.frame else None
        problems += channels.decode(line, limit)
    decoders = channels.finish()
    used = next((name for name in CHANNELS if decoders[name].cues), CHANNELS[0])
    decoder = decoders[used]
    cues = close_open_ends(decoder.cues)
    problems += [
        TranscriptProblem(_find_line(lines, time_s), f"is never displayed: {text[:60]!r}", after_s=round(time_s, 3))
        for time_s, text in decoder.undisplayed
    ]
    problems += [
        TranscriptProblem(
            _find_line(lines, cue.start_s),
            f"has missing characters or an unknown end: {cue.text[:60]!r}",
            cue.start_s,
            cue.end_s,
        )
        for cue in decoder.damaged
    ]
    if not cues and problems:
        raise TranscriptError(problems[0])
    remarks = [
        f"{len(decoders[name].cues)} captions of channel {name} were left out"
        for name in CHANNELS
        if name != used and decoders[name].cues
    ]
    if used != CHANNELS[0]:
        remarks.append(f"the captions are those of channel {used}")
    label_second_s = LABELS_PER_S / FRAME_RATE * (Fraction(999, 1000) if lines[0].is_drop_frame else 1)
    return ParsedCaptions(cues, sorted(problems, key=lambda p: p.line), tuple(remarks), float(label_second_s))


def _parse_lines(text: str) -> tuple[list[_Line], ProblemList]:
    lines: list[_Line] = []
    problems = ProblemList()
    follows_lost = False
    for number, row in enumerate(text.split("\n"), start=1):
        match = _LINE.fullmatch(row.strip())
        if match:
            hours, minutes, seconds, frames = (int(match[group]) for group in (1, 2, 3, 5))
            is_drop_frame = match[4] != ":"
            frame = ((hours * 60 + minutes) * 60 + seconds) * LABELS_PER_S + frames
            if is_drop_frame:
                frame -= 2 * (hours * 54 + minutes - minutes // 10)
            lines.append(_Line(number, frame, match[6].split(), is_drop_frame, follows_lost))
            follows_lost = False
        elif row.strip() and HEADER not in row:
            after_s = round(_seconds(lines[-1].frame + len(lines[-1].pairs)), 3) if lines else None
            problems.append(TranscriptProblem(number, f"not a caption line: {row.strip()[:60]!r}", after_s=after_s))
            follows_lost = any(map(_PAIR.fullmatch, row.split()))
    return lines, problems


class _Channels:
    """Distributes byte pairs to the four channels: two in each field of the picture."""

    def __init__(self) -> None:
        self._decoders = {name: ChannelDecoder() for name in CHANNELS}
        self._field = 0
        self._channel_of_field = [0, 0]
        self._is_xds = False  # extended data services: programme names and ratings

    def decode(self, line: _Line, limit: int | None) -> list[TranscriptProblem]:
        """Decode a line, its times limited to frame `limit`. Return a problem for each damaged pair."""
        problems = ProblemList()
        before = (0, 0)  # control codes are sent twice; the repetition is ignored
        for decoder in self._decoders.values():
            if line.follows_lost:
                decoder.mark_lost_line()
            decoder.start_line(_seconds(line.frame))
        for index, pair in enumerate(line.pairs):
            frame = line.frame + index
            time_s = _seconds(frame if limit is None else min(frame, limit))
            if not _PAIR.fullmatch(pair):
                problems.append(TranscriptProblem(line.number, f"{pair[:20]!r} is not a byte pair"))
                self._current.mark_damaged()
                continue
            first, second = (byte & 0x7F for byte in bytes.fromhex(pair))  # without their parity bits
            if 0x10 <= first <= 0x1F and (first, second) == before:
                before = (0, 0)
                continue
            before = (first, second)
            self._decode_pair(first, second, time_s)
        return problems

    def finish(self) -> dict[str, ChannelDecoder]:
        for decoder in self._decoders.values():
            decoder.finish()
        return self._decoders

    def _decode_pair(self, first: int, second: int, time_s: float) -> None:
        if 0x01 <= first <= _XDS_END:
            self._is_xds = first != _XDS_END
        elif first >= 0x20 or first == 0:
            if not self._is_xds:
                for code in (first, second):
                    if code >= 0x20:
                        self._current.write_standard(code, time_s)
        elif first >= 0x10 and second >= 0x20:
            self._is_xds = False
            self._execute(first, second, time_s)

    def _execute(self, first: int, second: int, time_s: float) -> None:
        """Execute a control code; bit 3 of its first byte selects the channel of the field."""
        base = first & ~0x08
        if base in (0x14, 0x15) and second < 0x30:
            self._field = base - 0x14
        self._channel_of_field[self._field] = 1 if first & 0x08 else 0
        decoder = self._current
        if second >= 0x40:
            decoder.move_cursor(base, second, time_s)
        elif base in (0x14, 0x15) and second < 0x30:
            decoder.execute(second, time_s)
        elif base == 0x11 and second < 0x30:
            decoder.write_style(time_s)
        elif base == 0x11:
            decoder.write_special(second, time_s)
        elif base in (0x12, 0x13):
            decoder.write_extended(base, second, time_s)
        elif base == 0x17 and 0x21 <= second <= 0x23:
            decoder.move_right(second - 0x20)

    @property
    def _current(self) -> ChannelDecoder:
        return self._decoders[CHANNELS[2 * self._field + self._channel_of_field[self._field]]]


def _seconds(frame: int) -> float:
    return float(frame / FRAME_RATE)


def _find_line(lines: list[_Line], time_s: float) -> int:
    """Return the number of the last line before a time; lines are ordered by time."""
    return lines[max(0, bisect_right(lines, time_s, key=lambda line: _seconds(line.frame)) - 1)].number
