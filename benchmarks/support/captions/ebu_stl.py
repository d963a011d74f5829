"""A writer of EBU STL (EBU Tech 3264), open and teletext subtitles, with characters of ISO 6937."""

from __future__ import annotations

import random
import struct
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.support.captions.script import Cue, Fault, Shown, Style, as_shown
from benchmarks.support.captions.timecode import PAL

LETTERS = dict(
    zip(
        "ÆĐªĦĲĿŁØŒºÞŦŊŉĸæđðħıĳŀłøœßþŧŋ",
        bytes([*range(0xE1, 0xE5), *range(0xE6, 0xF0), *range(0xF0, 0xFF)]),
        strict=True,
    )
)
SIGNS = {
    "¡": 0xA1, "£": 0xA3, "‘": 0xA9, "“": 0xAA, "«": 0xAB, "’": 0xB9, "”": 0xBA, "»": 0xBB, "¿": 0xBF, "♪": 0xD5,
}  # fmt: skip
ACCENTS = dict(
    zip("\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308\u030a\u0327\u030b\u0328\u030c", bytes(
        [0xC1, 0xC2, 0xC3, 0xC4, 0xC5, 0xC6, 0xC7, 0xC8, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF]
    ), strict=True)
)  # fmt: skip
NOT_ASCII = "$`^~|{}\\"  # other signs, or none, in the table
LANGUAGES = {
    "da": "07", "de": "08", "en": "09", "es": "0A", "fr": "0F", "it": "15", "nl": "1D", "pt": "21", "sv": "28",
    "tr": "29",
}  # fmt: skip
COLOURS = bytes([7, 3, 6, 2])  # white, yellow, cyan, green
NEW_LINE, START_BOX, END_BOX, DOUBLE_HEIGHT, UNUSED = 0x8A, 0x0B, 0x0A, 0x0D, 0x8F
FIELD_BYTES = 112
LAST_BLOCK, USER_DATA = 0xFF, 0xFE
FIRST_OF_SET, MIDDLE_OF_SET, LAST_OF_SET = 1, 2, 3


@dataclass(frozen=True)
class Stl:
    """The variant of STL that a file is written in."""

    language: str
    is_teletext: bool = False
    has_colours: bool = False
    windows_page: str = ""
    """A Windows code page of the text, though the header declares ISO 6937."""
    first_hour: int = 0
    has_comments: bool = False
    has_user_data: bool = False


def can_write(text: str) -> bool:
    """Whether ISO 6937 has all characters."""
    try:
        encode(text)
    except ValueError:
        return False
    return True


def encode(text: str) -> bytes:
    """Encode in ISO 6937: accents stand before their letters. Raises ValueError for other characters."""
    codes = bytearray()
    for character in text:
        base, *accents = unicodedata.normalize("NFD", character)
        if character in LETTERS:
            codes.append(LETTERS[character])
        elif character in SIGNS:
            codes.append(SIGNS[character])
        elif base.isascii() and base not in NOT_ASCII and all(accent in ACCENTS for accent in accents):
            codes += bytes(ACCENTS[accent] for accent in accents) + base.encode()
        else:
            raise ValueError(f"{character!r} is not in ISO 6937")
    return bytes(codes)


def write_stl(cues: Sequence[Cue], variant: Stl, rng: random.Random) -> bytes:
    """Write a file."""
    blocks: list[bytes] = []
    for number, shown in enumerate(as_shown(cues, rows=2, builds_up=False)):
        if shown.cue.style is Style.REVEAL:
            blocks += _cumulated(shown.cue, len(blocks), variant, rng)
        else:
            blocks += _subtitle(len(blocks), shown, shown.lines, variant, rng)
        if variant.has_comments and number % 5 == 0:
            blocks += _subtitle(len(blocks), shown, ("please check this name",), variant, rng, is_comment=True)
    return _header(variant, len(blocks)) + b"".join(blocks)


def _header(variant: Stl, n_blocks: int) -> bytes:
    header = bytearray(b" " * 1024)
    start = f"{variant.first_hour:02d}000000"
    for at, value in (
        (0, "850STL25.01" + ("1" if variant.is_teletext else "0") + "00" + LANGUAGES[variant.language]),
        (16, "Programme"),
        (224, "26030126030100"),
        (238, f"{n_blocks:05d}{n_blocks:05d}0014023"),
        (255, f"1{start}{start}11"),
    ):
        header[at : at + len(value)] = value.encode("ascii")
    return bytes(header)


def _subtitle(
    number: int,
    shown: Shown,
    lines: Sequence[str],
    variant: Stl,
    rng: random.Random,
    *,
    cumulative: int = 0,
    is_comment: bool = False,
) -> list[bytes]:
    """The blocks of a subtitle: one for each 112 bytes of its text."""
    begin, end = (_time_code(ms, variant) for ms in (shown.start_ms, shown.end_ms))
    match shown.cue.fault:
        case Fault.NO_LENGTH:
            end = begin
        case Fault.BACKWARDS:
            begin, end = end, begin
        case Fault.BAD_TIME:
            begin = begin[:1] + b"\x4b" + begin[2:]  # 75 minutes
    field = _field(lines, shown.cue.speaker, variant, rng)
    fields = [field[at : at + FIELD_BYTES] for at in range(0, len(field), FIELD_BYTES)]
    row = 23 - 2 * len(lines)
    blocks = []
    for index, part in enumerate(fields):
        extension = LAST_BLOCK if index == len(fields) - 1 else index
        times = struct.pack("<BHBB", 0, number, extension, cumulative) + begin + end
        text = part.ljust(FIELD_BYTES, bytes([UNUSED]))
        blocks.append(times + bytes([row, 2, int(is_comment)]) + text)
    if variant.has_user_data and rng.random() < 0.2:
        blocks.append(struct.pack("<BHBB", 0, number, USER_DATA, 0) + begin + end + bytes(3) + b"U" * FIELD_BYTES)
    return blocks


def _cumulated(cue: Cue, number: int, variant: Stl, rng: random.Random) -> list[bytes]:
    """A cumulative set: each subtitle adds words to what is on the screen, and all end together."""
    words = [word for line in cue.lines for word in line.split()]
    size = -(-len(words) // 3)
    parts = [range(at, min(at + size, len(words))) for at in range(0, len(words), size)]
    blocks: list[bytes] = []
    for index, part in enumerate(parts):
        shown = Shown(cue, cue.words[part[0]].start_ms if index else cue.start_ms, cue.end_ms, ())
        last = LAST_OF_SET if index == len(parts) - 1 else MIDDLE_OF_SET
        cumulative = FIRST_OF_SET if index == 0 else last
        text = " ".join(words[part[0] : part[-1] + 1])
        blocks += _subtitle(number + index, shown, (text,), variant, rng, cumulative=cumulative)
    return blocks


def _field(lines: Sequence[str], speaker: int, variant: Stl, rng: random.Random) -> bytes:
    encoded = [line.encode(variant.windows_page) if variant.windows_page else encode(line) for line in lines]
    colour = bytes([COLOURS[speaker]]) if variant.has_colours else b""
    if variant.is_teletext:
        row = bytes([DOUBLE_HEIGHT]) + colour + bytes([START_BOX] * 2) + b"%b" + bytes([END_BOX] * 2)
        return bytes([NEW_LINE] * 2).join(row % line for line in encoded)
    text = bytes([NEW_LINE]).join(encoded)
    return b"\x80" + text + b"\x81" if rng.random() < 0.2 else text  # italics


def _time_code(ms: int, variant: Stl) -> bytes:
    label = PAL.label(PAL.first_frame(variant.first_hour) + PAL.frame(ms))
    return bytes(int(part) for part in label.split(":"))
