"""A colour for each speaker, in the four that subtitles on television use."""

from __future__ import annotations

from collections import Counter
from enum import Enum
from itertools import pairwise

from tasks.transcripts.document import Transcript


class Colour(Enum):
    """In the BBC's order of preference, all on black: (RGB, teletext's alpha colour code)."""

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
    """The one who says most is white. With more than four speakers a colour is shared by those who follow
    each other least. Words of no known speaker are white."""
    n_words: Counter[str] = Counter()
    meetings: Counter[tuple[str, str]] = Counter()
    for segment in transcript.segments:
        if segment.speaker is not None:
            n_words[segment.speaker] += len(segment.words)
    for earlier, later in pairwise(transcript.segments):
        if earlier.speaker is not None and later.speaker is not None and earlier.speaker != later.speaker:
            meetings[earlier.speaker, later.speaker] += 1
            meetings[later.speaker, earlier.speaker] += 1
    colours: dict[str, Colour] = {}
    for speaker, _ in sorted(n_words.items(), key=lambda item: (-item[1], item[0])):
        shared: Counter[Colour] = Counter(colours.values())
        clashes: Counter[Colour] = Counter()
        for other, colour in colours.items():
            clashes[colour] += meetings[speaker, other]
        colours[speaker] = min(Colour, key=lambda colour: (clashes[colour], shared[colour]))
    return colours
