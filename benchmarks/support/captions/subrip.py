"""A writer of SubRip with the liberties that files in the field take."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.support.captions.script import Cue, Fault, Shown, as_shown, with_ruby


@dataclass(frozen=True)
class SubRip:
    """The variant of SubRip that a file is written in."""

    times: str = "comma"
    """`comma`, `point`, `whole seconds`, `long fraction` or `short hours`."""
    numbers: str = "counted"
    """`counted`, `missing` or `all one`."""
    line_break: str = "\n"
    """Between the lines of a cue: also `<br>`, `<br />` or `\\N`."""
    line_end: str = "\n"
    has_empty_lines: bool = False
    """Whether some lines of a cue are parted by empty lines."""
    has_markup: bool = False
    is_shuffled: bool = False
    """Whether the cues are not in the order of their times."""
    encoding: str = "utf-8"


def write_subrip(cues: Sequence[Cue], variant: SubRip, rng: random.Random, offset_ms: int = 0) -> bytes:
    """Write SubRip. Times are later by `offset_ms`."""
    shown = as_shown(cues, rows=2)
    if variant.is_shuffled:
        rng.shuffle(shown)
    blocks = [_block(number, one, variant, rng, offset_ms) for number, one in enumerate(shown, start=1)]
    return "".join(blocks).replace("\n", variant.line_end).encode(variant.encoding)


def _block(number: int, shown: Shown, variant: SubRip, rng: random.Random, offset_ms: int) -> str:
    line_break = variant.line_break
    if variant.has_empty_lines and rng.random() < 0.3:
        line_break = "\n\n"
    text = line_break.join(with_ruby(line, r"\1") for line in shown.lines)
    if variant.has_markup:
        text = "{\\an8}" + _marked_up(text, rng)
    times = _times(shown, lambda ms: _time(ms + offset_ms, variant.times))
    # Without its times a cue can be told from its neighbour's text only by its number.
    numbers = "counted" if not times else variant.numbers
    counted = {"counted": f"{number}\n", "missing": "", "all one": "1\n"}[numbers]
    return f"{counted}{times}{text}\n\n"


def _marked_up(text: str, rng: random.Random) -> str:
    kind = rng.choice(("{}", "<i>{}</i>", '<font color="#ffff00">{}</font>', "{{i}}{}{{/i}}", "<b>{}"))
    return kind.format(text)


def _times(shown: Shown, written: Callable[[int], str]) -> str:
    start, end = written(shown.start_ms), written(shown.end_ms)
    match shown.cue.fault:
        case Fault.LOST_TIMES:
            return ""
        case Fault.NO_LENGTH:
            end = start
        case Fault.BACKWARDS:
            start, end = end, start
        case Fault.BAD_TIME:
            start = start.replace(start[6:8], "x" + start[7:8], 1)
    return f"{start} --> {end}\n"


def _time(ms: int, times: str) -> str:
    seconds, fraction = divmod(ms, 1000)
    clock = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    match times:
        case "whole seconds":
            return clock
        case "short hours":
            return f"{clock.removeprefix('0')},{fraction:03d}"
        case "point":
            return f"{clock}.{fraction:03d}"
        case "long fraction":
            return f"{clock},{fraction:03d}000"
    return f"{clock},{fraction:03d}"
