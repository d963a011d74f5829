"""`.srt`: SubRip, for players and editors. Times count from the start of the media, as players expect.

SubRip has no standard and no escapes, and players differ: "<" may open a tag, a backslash a line break or a position,
and "-->" marks a timing line. They are replaced by look-alikes. The format has no speakers: dashes mark a dialogue.
"""

from __future__ import annotations

import re

from tasks.transcripts.formats.clock_time import hours_to_milliseconds
from tasks.transcripts.formats.rendition import Rendition

_LOOK_ALIKES = str.maketrans({"<": "\u2039", ">": "\u203a", "\\": "\u29f5"})
_TIME = re.compile(r"(\d):(\d+:\d+[,.]\d)")


def write(rendition: Rendition) -> bytes:
    cues = []
    for number, cue in enumerate(rendition.cues, start=1):
        start, end = (hours_to_milliseconds(time_ms, ",") for time_ms in (cue.start_ms, cue.end_ms))
        text = _TIME.sub("\\1\u2236\\2", "\n".join(cue.dashed_lines()).translate(_LOOK_ALIKES))
        cues.append(f"{number}\n{start} --> {end}\n{text}\n")
    return "\n".join(cues).encode()
