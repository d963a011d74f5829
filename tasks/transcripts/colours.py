"""Speaker colours, from the four that television subtitles use."""

from __future__ import annotations

from collections import Counter
from enum import Enum
from itertools import pairwise

from tasks.transcripts.document import Transcript


class Colour(Enum):
    """In the BBC's order of preference, on black: (RGB, teletext alpha colour code)."""

    WHITE = ("#FFFFFF", 0x07)
    YELLOW = ("#FFFF00", 0x03)
    CYAN = ("#00FFFF", 0x06)
    GREEN = ("#00FF00", 0x02)

    @property
    def rgb(self) -> str:
        return self.value[0]

    @property
    def teletext(self) -> int:
        return self.value[1]


def speaker_colours(transcript: Transcript) -> dict[str, Colour]:
    """Assign a colour to each speaker; the one with most words is white.

    With more than four speakers, those who least often follow each other share a colour. Words without a speaker are
    white.
    """
    n_words: Counter[str] = Counter()
    adjacent: Counter[tuple[str, str]] = Counter()
    for segment in transcript.segments:
        if segment.speaker is not None:
            n_words[segment.speaker] += len(segment.words)
    for earlier, later in pairwise(transcript.segments):
        if earlier.speaker is not None and later.speaker is not None and earlier.speaker != later.speaker:
            adjacent[earlier.speaker, later.speaker] += 1
            adjacent[later.speaker, earlier.speaker] += 1
    colours: dict[str, Colour] = {}
    for speaker, _ in sorted(n_words.items(), key=lambda item: (-item[1], item[0])):
        shared: Counter[Colour] = Counter(colours.values())
        clashes: Counter[Colour] = Counter()
        for other, colour in colours.items():
            clashes[colour] += adjacent[speaker, other]
        colours[speaker] = min(Colour, key=lambda colour: (clashes[colour], shared[colour]))
    return colours
