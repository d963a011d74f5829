"""SubRip (.srt) and WebVTT (.vtt).

Both are blocks of a timing line and text lines. SubRip has no standard; this parser accepts what players accept: comma
or point before the milliseconds, missing hours, missing or repeated numbers, empty lines anywhere. WebVTT follows W3C:
an empty line ends a cue, a line of spaces does not (automatic captions begin with one). Its NOTE, STYLE and REGION
blocks, cue settings and markup are skipped; `<v Name>` gives the speaker.
"""

from __future__ import annotations

import html
import re

from tasks.corpus.captions.problems import TranscriptError, TranscriptProblem
from tasks.corpus.records import Supervision

TIME = r"(?:(\d{1,3}):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})"
TIMING = re.compile(rf"^\s*{TIME}\s*-->\s*{TIME}(?:\s.*)?$")
# Bounded, so that an unclosed tag does not cause a search through the rest of the line.
VOICE = re.compile(r"<v(?:\.[^\s>]{0,100})?\s{1,3}([^>]{0,100})>")
TAG = re.compile(r"</?[a-zA-Z][^>\n]{0,300}>|</?[\d:.]{1,30}>|\{\\[^}\n]{0,300}\}|\{/?[a-zA-Z]\}")
SKIPPED_BLOCK = re.compile(r"^(NOTE|STYLE|REGION)(\s|$)")


def parse_subtitles(text: str, *, is_webvtt: bool = False) -> tuple[list[Supervision], list[TranscriptProblem]]:
    """Return the cues in file order, and the problems. Text that begins with WEBVTT is always parsed as WebVTT.

    Raises TranscriptError if there is text but not a single cue.
    """
    is_webvtt = is_webvtt or text.startswith("WEBVTT")
    lines = text.split("\n")
    cues: list[Supervision] = []
    problems: list[TranscriptProblem] = []
    at = 0
    while at < len(lines):
        line = lines[at]
        at += 1
        if SKIPPED_BLOCK.match(line):
            while at < len(lines) and lines[at].strip():
                at += 1
        elif "-->" in line:
            block_at = at
            while at < len(lines) and "-->" not in lines[at] and (lines[at] or not is_webvtt):
                at += 1
            block = lines[block_at:at]
            if _ends_in_number(block, above_times=at < len(lines) and "-->" in lines[at], is_webvtt=is_webvtt):
                while not block.pop().strip():
                    pass
            if problem := _read(line, block, cues):
                problems.append(TranscriptProblem(block_at, problem))
        elif cues and line.strip() and not (at < len(lines) and "-->" in lines[at]):
            problems.append(TranscriptProblem(at, f"belongs to no cue: {line.strip()[:60]!r}"))
    if not cues and text.strip():
        first = next(number for number, line in enumerate(lines, start=1) if line.strip())
        raise TranscriptError(
            problems[0] if problems else TranscriptProblem(first, "no cue with times (00:00:01,000 --> 00:00:02,000)")
        )
    return cues, problems


def _ends_in_number(block: list[str], *, above_times: bool, is_webvtt: bool) -> bool:
    """Whether a cue's lines end in the next cue's number: right above its times or, in SubRip, after an empty line."""
    *before, last = [line.strip() for line in block] or [""]
    if above_times and last.isdigit():
        return True
    while before and not last:
        last = before.pop()
    return not is_webvtt and last.isdigit() and before[-1:] == [""]


def _read(timing: str, block: list[str], cues: list[Supervision]) -> str:
    """Append the cue, or return what is wrong with it."""
    match = TIMING.match(timing)
    if not match:
        return f"invalid cue times: {timing.strip()[:60]!r}"
    start_s, end_s = _seconds(*match.groups()[:4]), _seconds(*match.groups()[4:])
    if end_s <= start_s:
        return f"the cue ends before it begins: {timing.strip()[:60]!r}"
    block = [line for line in block if line.strip()]
    speaker = VOICE.search(block[0]) if block else None
    text = "\n".join(html.unescape(TAG.sub("", line)).strip() for line in block).strip()
    cues.append(
        Supervision(start_s=start_s, end_s=end_s, text=text, speaker=speaker.group(1).strip() if speaker else "")
    )
    return ""


def _seconds(hours: str | None, minutes: str, seconds: str, fraction: str) -> float:
    ms = ((int(hours or 0) * 60 + int(minutes)) * 60 + int(seconds)) * 1000 + int(fraction.ljust(3, "0"))
    return ms / 1000
