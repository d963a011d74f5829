"""Captions of a broadcast in a broadcaster's formats, and its speaker turns as RTTM."""

from __future__ import annotations

import textwrap
from itertools import pairwise
from pathlib import Path

import pysubs2

from local.demo.synthesis.broadcast import Broadcast

LINE_CHARACTERS = 42
LEAD_MS, LINGER_MS = 60, 120  # a cue starts before its words and ends after them


def write_captions(path: Path, broadcast: Broadcast) -> None:
    """Write one cue a sentence (`.srt`, `.vtt`), or plain text with one sentence a line (`.txt`)."""
    if path.suffix == ".txt":
        path.write_text("".join(f"{spoken.line.text}\n" for spoken in broadcast.lines))
        return
    cues = pysubs2.SSAFile()
    for spoken in broadcast.lines:
        text = "\\N".join(textwrap.wrap(spoken.line.text, LINE_CHARACTERS))
        start_ms = max(0, spoken.start_ms - LEAD_MS)
        cues.append(pysubs2.SSAEvent(start=start_ms, end=spoken.end_ms + LINGER_MS, text=text))
    path.write_text(cues.to_string(path.suffix[1:]))


def rttm(broadcast: Broadcast) -> str:
    """The speaker turns in NIST's RTTM; consecutive lines of one speaker are one turn."""
    turns: list[list[int]] = []
    names: list[str] = []
    for index, spoken in enumerate(broadcast.lines):
        if index and broadcast.lines[index - 1].line.speaker == spoken.line.speaker:
            turns[-1][1] = spoken.end_ms
        else:
            turns.append([spoken.start_ms, spoken.end_ms])
            names.append(spoken.line.speaker)
    assert all(before[1] <= after[0] for before, after in pairwise(turns))
    file_id = broadcast.script.name
    return "".join(
        f"SPEAKER {file_id} 1 {start / 1000:.3f} {(end - start) / 1000:.3f} <NA> <NA> {name} <NA> <NA>\n"
        for (start, end), name in zip(turns, names, strict=True)
    )
