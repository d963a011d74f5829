"""TTML and its profiles (IMSC, EBU-TT, DFXP), after W3C's Timed Text Markup Language 2.

A cue is a `p`, or a `span` with times of its own; times are relative to the begin of the enclosing elements. ttconv
parses clock times, frames, ticks and offsets. Layout and styles are ignored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from lxml import etree

from tasks.corpus.captions.problems import TranscriptError, TranscriptProblem
from tasks.corpus.records import Supervision
from tasks.media.languages import language_tag

if TYPE_CHECKING:
    from lxml.etree import _Element as Element
    from ttconv.imsc.attributes import TemporalAttributeParsingContext

METADATA = "{http://www.w3.org/ns/ttml#metadata}"
XML = "{http://www.w3.org/XML/1998/namespace}"
START_OF_PROGRAMME = "{urn:ebu:tt:metadata}documentStartOfProgramme"
CONTAINERS = {"body", "div", "p", "span"}


def parse_ttml(data: bytes) -> tuple[list[Supervision], list[TranscriptProblem]]:
    """Return the cues in document order, and a problem for each element with unreadable times.

    Takes bytes, since XML declares its own encoding. Raises TranscriptError if it is not TTML.
    """
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        raise TranscriptError(TranscriptProblem(error.lineno or 1, f"not well-formed XML: {error.msg}")) from None
    if _name(root) != "tt":
        raise TranscriptError(TranscriptProblem(1, f"the root element is {_name(root)}, not tt"))
    body = next((child for child in root if _name(child) == "body"), None)
    if body is None:
        return [], []
    agents = {agent.get(f"{XML}id", ""): "".join(agent.itertext()).strip() for agent in root.iter(f"{METADATA}agent")}
    try:
        reader = _Reader(_time_context(root), agents)
        origin_s = _start_of_programme(root, reader)
    except ValueError as error:
        raise TranscriptError(TranscriptProblem(root.sourceline or 1, str(error))) from None
    reader.visit(body, Fraction(0), None)
    if not reader.cues and reader.problems:
        raise TranscriptError(reader.problems[0])
    # Media time should count from the start of the programme, but some exporters write timecode.
    if reader.is_timecode or all(cue.start_s >= origin_s for cue in reader.cues):
        return [_shifted(cue, -float(origin_s)) for cue in reader.cues], reader.problems
    return reader.cues, reader.problems


class _Reader:
    """Walks the element tree with the begin and end of the enclosing elements."""

    def __init__(self, times: TemporalAttributeParsingContext, agents: dict[str, str]) -> None:
        self._times, self._agents = times, agents
        self.cues: list[Supervision] = []
        self.problems: list[TranscriptProblem] = []

    @property
    def is_timecode(self) -> bool:
        """Whether times are timecode of the recording rather than media time of the programme."""
        return self._times.time_base.name == "smpte"

    def visit(self, element: Element, begin_s: Fraction, end_s: Fraction | None) -> None:
        name = _name(element)
        if name not in CONTAINERS:
            return
        try:
            begin_s, end_s = self._interval(element, begin_s, end_s)
        except ValueError as error:
            self.problems.append(TranscriptProblem(element.sourceline or 0, f"bad time: {error}"))
            return
        if _is_cue(element, name, end_s):
            self._cue(element, begin_s, end_s)
        else:
            for child in element:
                self.visit(child, begin_s, end_s)

    def _interval(
        self, element: Element, begin_s: Fraction, end_s: Fraction | None
    ) -> tuple[Fraction, Fraction | None]:
        """Begin and end of `element` in media time, limited by those of its parent."""
        begin, end, dur = (self.seconds(element.get(name)) for name in ("begin", "end", "dur"))
        own_begin = begin_s + (begin or 0)
        ends = [around for around in (end_s,) if around is not None]
        if end is not None:
            ends.append(begin_s + end)
        if dur is not None:
            ends.append(own_begin + dur)
        return own_begin, min(ends, default=None)

    def seconds(self, expression: str | None) -> Fraction | None:
        """Parse a time expression to seconds. Raises ValueError."""
        from ttconv.imsc.attributes import parse_time_expression

        if expression is None:
            return None
        try:
            return parse_time_expression(self._times, expression.strip(), False)
        except (ValueError, ZeroDivisionError) as error:
            raise ValueError(f"{expression[:40]!r}: {error}") from None

    def _cue(self, element: Element, begin_s: Fraction, end_s: Fraction | None) -> None:
        text = "\n".join(re.sub(r"\s+", " ", line).strip() for line in "".join(_text(element)).split("\n")).strip()
        if not text:
            return
        if end_s is None or end_s <= begin_s:
            self.problems.append(TranscriptProblem(element.sourceline or 0, "the cue does not end after its begin"))
            return
        agent = element.get(f"{METADATA}agent") or element.get("agent") or ""
        self.cues.append(
            Supervision(
                start_s=round(float(begin_s), 3),
                end_s=round(float(end_s), 3),
                text=text,
                speaker=self._agents.get(agent, ""),
                language=_language(element),
            )
        )


def _shifted(cue: Supervision, by_s: float) -> Supervision:
    end_s = None if cue.end_s is None else round(cue.end_s + by_s, 3)
    return cue.model_copy(update={"start_s": round(cue.start_s + by_s, 3), "end_s": end_s})


def _time_context(root: Element) -> Any:
    from ttconv.imsc import attributes

    context = attributes.TemporalAttributeParsingContext()
    context.frame_rate = attributes.FrameRateAttribute.extract(root)
    context.tick_rate = attributes.TickRateAttribute.extract(root)
    context.time_base = attributes.TimeBaseAttribute.extract(root)
    context.drop_mode = attributes.DropModeAttribute.extract(root)
    return context


def _start_of_programme(root: Element, reader: _Reader) -> Fraction:
    """EBU-TT's timecode of the programme's first frame, as 10:00:00:00, in seconds; 0 if it is not declared."""
    return reader.seconds(next((element.text for element in root.iter(START_OF_PROGRAMME)), None)) or Fraction(0)


def _is_cue(element: Element, name: str, end_s: Fraction | None) -> bool:
    """Whether the element is a cue: a paragraph, or its spans if they have times of their own."""
    if name == "p":
        return not any("begin" in child.attrib for child in element.iter() if child is not element)
    return name == "span" and ("begin" in element.attrib or end_s is not None)


def _language(element: Element) -> str:
    """`xml:lang` of the element or of its nearest ancestor."""
    around = (element, *element.iterancestors())
    return language_tag(next((tag for e in around if (tag := e.get(f"{XML}lang")) is not None), "")) or ""


def _name(element: Element) -> str:
    """The local name: profiles and drafts of TTML use different namespaces."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def _text(element: Element) -> Iterator[str]:
    """The text, with line breaks only for `br`: other white space is indentation."""
    yield (element.text or "").replace("\n", " ")
    for child in element:
        if _name(child) == "br":
            yield "\n"
        elif _name(child) == "span":
            yield from _text(child)
        yield (child.tail or "").replace("\n", " ")
