"""A writer of WebVTT."""

from __future__ import annotations

import html
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from benchmarks.support.captions.script import Cue, Fault, Shown, Style, as_shown, with_ruby

SPEAKERS = ("Anna", "Bill", "Chloé", "Dora Smith")
FLASH_MS = 10  # for which YouTube shows a complete line alone
BLOCKS = (
    "NOTE made by hand\nand not said",
    "STYLE\n::cue(.yellow) {\n  color: yellow;\n}",
    "REGION\nid:bottom\nlines:3",
)


@dataclass(frozen=True)
class WebVtt:
    """The variant of WebVTT that a file is written in."""

    has_hours: bool = True
    has_voices: bool = False
    has_markup: bool = False
    """Classes and italics."""
    settings: str = ""
    """Of each cue."""
    has_identifiers: bool = False
    has_blocks: bool = False
    """Whether there are NOTE, STYLE and REGION blocks."""
    is_youtube: bool = False
    """Whether automatic captions scroll and have times of words, as YouTube writes them."""
    line_end: str = "\n"
    encoding: str = "utf-8"


def write_webvtt(cues: Sequence[Cue], variant: WebVtt, rng: random.Random, offset_ms: int = 0) -> bytes:
    """Write WebVTT. Times are later by `offset_ms`."""

    def time(ms: int) -> str:
        seconds, fraction = divmod(ms + offset_ms, 1000)
        hours = f"{seconds // 3600:02d}:" if variant.has_hours or seconds >= 3600 else ""
        return f"{hours}{seconds // 60 % 60:02d}:{seconds % 60:02d}.{fraction:03d}"

    blocks = ["WEBVTT - captions\nKind: captions" if variant.has_blocks else "WEBVTT"]
    blocks += BLOCKS if variant.has_blocks else ()
    for style, group in groupby(cues, key=lambda cue: cue.style):
        if style is Style.AUTOMATIC and variant.is_youtube:
            blocks += _youtube(list(group), time)
        else:
            blocks += [_block(shown, variant, time, rng) for shown in as_shown(list(group), rows=3, builds_up=False)]
    if variant.has_identifiers:
        blocks = [f"cue-{n}\n{block}" if "-->" in block else block for n, block in enumerate(blocks)]
    return ("\n\n".join(blocks) + "\n").replace("\n", variant.line_end).encode(variant.encoding)


def _block(shown: Shown, variant: WebVtt, time: Callable[[int], str], rng: random.Random) -> str:
    start, end = time(shown.start_ms), time(shown.end_ms)
    match shown.cue.fault:
        case Fault.NO_LENGTH:
            end = start
        case Fault.BACKWARDS:
            start, end = end, start
        case Fault.BAD_TIME:
            start = start[:-6] + "x" + start[-5:]
    if shown.cue.style is Style.REVEAL:
        text = _revealed(shown.cue, time)
    else:
        lines = (html.escape(line, quote=False) for line in shown.lines)
        text = "\n".join(with_ruby(line, r"<ruby>\1<rt>\2</rt></ruby>") for line in lines)
    if variant.has_markup:
        text = rng.choice(("{}", "<i>{}</i>", "<c.yellow.bg_black>{}</c>", "<b>{}</b>")).format(text)
    if variant.has_voices:
        text = f"<v {SPEAKERS[shown.cue.speaker]}>{text}"
    if shown.cue.fault is Fault.LOST_TIMES:
        return text
    return f"{start} --> {end}{variant.settings}\n{text}"


def _revealed(cue: Cue, time: Callable[[int], str]) -> str:
    """The cue's text with the time of each word but the first."""
    times = [f"<{time(word.start_ms)}>" for word in cue.words]
    lines = []
    for line in cue.lines:
        words = html.escape(line, quote=False).split()
        lines.append(" ".join(times.pop(0) + word for word in words))
    return "\n".join(lines).replace(f"<{time(cue.words[0].start_ms)}>", "", 1)


def _youtube(cues: Sequence[Cue], time: Callable[[int], str]) -> list[str]:
    """Each line appears word by word below the one before it, and is then shown alone for 10 ms."""
    blocks = []
    above = " "
    for cue in cues:
        first, *rest = cue.words
        words = f"{first.text}" + "".join(f"<{time(w.start_ms)}><c> {w.text}</c>" for w in rest)
        settings = " align:start position:0%"
        blocks.append(f"{time(cue.start_ms)} --> {time(cue.end_ms - FLASH_MS)}{settings}\n{above}\n{words}")
        above = " ".join(word.text for word in cue.words)
        blocks.append(f"{time(cue.end_ms - FLASH_MS)} --> {time(cue.end_ms)}{settings}\n{above}\n ")
    return blocks
