"""A writer of SCC (Scenarist Closed Captions): line 21 captions (CEA-608), one byte pair a frame."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.support.captions.script import Cue, Fault, Style
from benchmarks.support.captions.timecode import FrameRate

STANDARD = dict(zip("áéíóúç÷Ññ", bytes([0x2A, 0x5C, 0x5E, 0x5F, 0x60, 0x7B, 0x7C, 0x7D, 0x7E]), strict=True))
SPECIAL = "®°½¿™¢£♪à\0èâêîôû"  # 11h 30h to 3Fh
EXTENDED = {
    0x12: "ÁÉÓÚÜü‘¡*\0—©\0•“”ÀÂÇÈÊËëÎÏïÔÙùÛ«»",
    0x13: "ÃãÍÌìÒòÕõ{}\\^_|~ÄäÖöß¥¤\0ÅåØø",
}  # from 20h
SUBSTITUTES = {"ß": "s", "Ø": "O", "ø": "o", "“": '"', "”": '"', "—": "-", "¡": "!", "«": '"', "»": '"', "‘": "'"}
NOT_STANDARD = "*\\^_`{|}~"
ROWS = {12: (0x13, 0x50), 13: (0x13, 0x70), 14: (0x14, 0x50), 15: (0x14, 0x70)}  # preamble address codes, no indent

Pair = tuple[int, int]
LOAD, ROLL_UP, DIRECT, ERASE_SHOWN, RETURN, ERASE_HIDDEN, SHOW = (
    (0x14, 0x20), (0x14, 0x25), (0x14, 0x29), (0x14, 0x2C), (0x14, 0x2D), (0x14, 0x2E), (0x14, 0x2F),
)  # fmt: skip


@dataclass(frozen=True)
class Scc:
    """The variant of SCC that a file is written in."""

    rate: FrameRate
    first_hour: int = 0
    rows: int = 2
    """Of roll-up captions."""


def can_write(text: str) -> bool:
    """Whether CEA-608 has all characters."""
    try:
        pairs_of(text)
    except ValueError:
        return False
    return True


def pairs_of(text: str) -> list[Pair]:
    """Encode text. Raises ValueError for other characters. Extended characters come behind a substitute."""
    pairs: list[Pair] = []
    pending: list[int] = []

    def flush() -> None:
        if pending:
            pairs.append((pending[0], pending[1] if len(pending) > 1 else 0))
            pending.clear()

    def standard(code: int) -> None:
        pending.append(code)
        if len(pending) == 2:
            flush()

    for character in text:
        if character in STANDARD:
            standard(STANDARD[character])
        elif character.isascii() and character not in NOT_STANDARD:
            standard(ord(character))
        elif character in SPECIAL:
            flush()
            pairs += [(0x11, 0x30 + SPECIAL.index(character))] * 2
        else:
            first = next((first for first, characters in EXTENDED.items() if character in characters), None)
            if first is None:
                raise ValueError(f"{character!r} is not in CEA-608")
            standard(ord(SUBSTITUTES.get(character) or unicodedata.normalize("NFD", character)[0]))
            flush()
            pairs += [(first, 0x20 + EXTENDED[first].index(character))] * 2
    flush()
    return pairs


def write_scc(cues: Sequence[Cue], variant: Scc) -> bytes:
    """Write a file. Raises ValueError if there is no time to send a caption."""
    return _Writer(variant).text(cues).encode("ascii")


class _Writer:
    def __init__(self, variant: Scc) -> None:
        self._variant = variant
        self._lines: list[tuple[int, list[Pair], bool]] = []  # frame, pairs, whether the time is to be damaged
        self._free = -(10**9)
        """The first frame in which nothing is sent yet."""
        self._erase_at: int | None = None
        """When the caption on the screen is to be erased."""

    def text(self, cues: Sequence[Cue]) -> str:
        for before, cue in zip((None, *cues), cues, strict=False):
            frame = self._variant.rate.frame(cue.start_ms)
            is_scrolling = before is not None and before.style is Style.ROLL_UP and before.end_ms == cue.start_ms
            if cue.style is Style.ROLL_UP:
                self._erase_before(frame, keep=is_scrolling)
                rows = (ROLL_UP[0], ROLL_UP[1] + self._variant.rows - 2)
                codes = [rows] * 2 + [RETURN] * 2 + [ROWS[15]] * 2
                self._send(frame - len(codes), codes + pairs_of(cue.lines[0]))
            elif cue.style is Style.REVEAL:
                self._erase_before(frame)
                self._paint(cue)
            else:
                self._pop_on(cue, frame)
            self._erase_at = self._variant.rate.frame(cue.end_ms)
        self._erase_before(10**9)
        return "Scenarist_SCC V1.0\n\n" + "".join(self._written())

    def _pop_on(self, cue: Cue, frame: int) -> None:
        pairs = [ERASE_HIDDEN] * 2 + [LOAD] * 2
        for line, row in zip(cue.lines, range(16 - len(cue.lines), 16), strict=True):
            pairs += [ROWS[row]] * 2 + pairs_of(line)
        load_at = frame - len(pairs)
        if cue.fault is Fault.BAD_TIME:
            self._erase_before(frame)
            self._lines.append((max(load_at, self._free), [*pairs, SHOW, SHOW], True))
            return
        if self._erase_at is not None and load_at - 2 < self._erase_at < frame - 1:
            load_at = frame - len(pairs) - 2
            # The erasure is sent among the characters; before the first of them if there is time.
            at = max(self._erase_at - load_at, 0)
            while 0 < at < len(pairs) and pairs[at] == pairs[at - 1]:
                at += 1  # not between a code and its repetition
            pairs[at:at] = [ERASE_SHOWN] * 2
            self._erase_at = None
        self._erase_before(load_at, keep=self._erase_at is not None and self._erase_at >= frame - 1)
        self._send(load_at, [*pairs, SHOW, SHOW])

    def _paint(self, cue: Cue) -> None:
        """Each word is sent when it is said."""
        words = iter(cue.words)
        for row, line in zip(range(16 - len(cue.lines), 16), cue.lines, strict=True):
            for index, text in enumerate(line.split()):
                frame = self._variant.rate.frame(next(words).start_ms)
                codes: list[Pair] = [] if index else [DIRECT] * 2 + [ROWS[row]] * 2
                self._send(frame - len(codes), codes + pairs_of(f" {text}" if index else text))

    def _erase_before(self, frame: int, *, keep: bool = False) -> None:
        if self._erase_at is not None and not keep and self._erase_at < frame:
            self._send(self._erase_at, [ERASE_SHOWN] * 2)
        self._erase_at = None

    def _send(self, frame: int, pairs: list[Pair]) -> None:
        if frame < self._free - 3:
            raise ValueError(f"no time to send {len(pairs)} pairs at {self._variant.rate.label(frame)}")
        frame = max(frame, self._free)
        self._lines.append((frame, pairs, False))
        self._free = frame + len(pairs)

    def _written(self) -> Iterator[str]:
        rate, first = self._variant.rate, self._variant.rate.first_frame(self._variant.first_hour)
        for frame, pairs, is_damaged in self._lines:
            label = rate.label(first + frame)
            if is_damaged:
                label = f"{label[:6]}x{label[7:]}"
            yield f"{label}\t{' '.join(f'{_odd(a):02x}{_odd(b):02x}' for a, b in pairs)}\n\n"


def _odd(code: int) -> int:
    """A code of seven bits with its parity bit."""
    return code if code.bit_count() % 2 else code | 0x80
