"""All published formats, by file suffix.

A format is a pure function of the rendition (a transcript and a cue profile): equal transcripts give equal bytes. STL
and the text with speakers carry the media's start time code; formats that are played along with the media count from
zero. The modules give the reasons.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from tasks.transcripts.formats import ctm, json, rttm, speakers_txt, srt, stl, ttml, txt, vtt
from tasks.transcripts.formats.rendition import Rendition


@dataclass(frozen=True, slots=True)
class Format:
    suffix: str
    media_type: str
    write: Callable[[Rendition], bytes]


_PLAIN = "text/plain; charset=utf-8"

FORMATS: dict[str, Format] = {
    format_.suffix: format_
    for format_ in (
        Format(".json", "application/json", json.write),
        Format(".txt", _PLAIN, txt.write),
        Format(".speakers.txt", _PLAIN, speakers_txt.write),
        Format(".srt", "application/x-subrip", srt.write),
        Format(".vtt", "text/vtt; charset=utf-8", vtt.write),
        Format(".ttml", "application/ttml+xml", ttml.write),
        Format(".stl", "application/octet-stream", stl.write),
        Format(".rttm", _PLAIN, rttm.write),
        Format(".ctm", _PLAIN, ctm.write),
    )
}


def render(rendition: Rendition, suffixes: Iterable[str] = FORMATS) -> Iterator[tuple[Format, bytes]]:
    """Yield the transcript in each format, rendered lazily."""
    for suffix in suffixes:
        yield FORMATS[suffix], FORMATS[suffix].write(rendition)
