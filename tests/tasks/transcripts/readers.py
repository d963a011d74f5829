"""Cues as (start, end, text), as read from our files by ttconv and pysubs2."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ElementTree
from fractions import Fraction
from html import unescape

import pysubs2
import ttconv.imsc.reader
import ttconv.stl.reader
import ttconv.vtt.reader
from ttconv import model
from ttconv.stl.config import STLReaderConfiguration

FoundCue = tuple[int, int, str]


def read_ttml(data: bytes) -> list[FoundCue]:
    return _found(ttconv.imsc.reader.to_model(ElementTree.parse(io.BytesIO(data))))


def read_stl(data: bytes, start: str | None = None) -> list[FoundCue]:
    """Read with times as in the file, or relative to `start` ("TCP": the programme's own)."""
    return _found(ttconv.stl.reader.to_model(io.BytesIO(data), STLReaderConfiguration(program_start_tc=start)))


def read_vtt(data: bytes) -> list[FoundCue]:
    return _found(ttconv.vtt.reader.to_model(io.StringIO(data.decode())))


def read_with_pysubs2(data: bytes, format_: str) -> list[FoundCue]:
    subtitles = pysubs2.SSAFile.from_string(data.decode(), format_=format_)
    return [(event.start, event.end, unescape(event.text.replace("\\N", "\n"))) for event in subtitles]


def _found(document: model.ContentDocument) -> list[FoundCue]:
    body = document.get_body()
    return [
        (_ms(paragraph.get_begin()), _ms(paragraph.get_end()), _text(paragraph))
        for division in (body if body is not None else ())
        for paragraph in division
    ]


def _ms(time_s: Fraction | float | None) -> int:
    return round(1000 * (time_s or 0))


def _text(element: model.ContentElement) -> str:
    if isinstance(element, model.Text):
        return element.get_text()
    return "\n" if isinstance(element, model.Br) else "".join(_text(child) for child in element)
