"""Split a paragraph into pieces of text with their display intervals, and group them into cues.

Spans that add words to those displayed form one cue, from its first word to its last. Spans that replace each other
are separate cues.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

from tasks.corpus.captions.ttml.intervals import Interval, Timing, is_sequence

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

XML = "{http://www.w3.org/XML/1998/namespace}"
MAX_STYLE_DEPTH = 8  # of styles that refer to styles
_SPANS = {"span", "i", "b", "u", "em", "strong", "font", "ruby", "rb"}  # HTML's are not valid TTML but occur in files
_BLOCKS = {"p", "div"}  # inside a paragraph only if its closing tag is missing
_ANNOTATIONS = {"rt", "rtc", "rp"}
_ANNOTATING_RUBY = {"text", "textContainer", "delimiter"}  # values of tts:ruby for pronunciations of the base

Report = Callable[["Element", str, Interval], None]


def local_name(element: Element) -> str:
    """Return the local name: profiles and drafts of TTML differ in their namespaces. Empty for comments."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def attribute(element: Element, name: str) -> str:
    """Return the value of an attribute in any namespace, or an empty string."""
    if name in element.attrib:
        return element.get(name, "")
    return next((str(v) for k, v in element.attrib.items() if str(k).endswith("}" + name)), "")


@dataclass(frozen=True)
class Piece:
    """A run of text with its display interval."""

    text: str
    interval: Interval
    speaker: str = ""

    @property
    def is_momentary(self) -> bool:
        """Whether it is text between the children of a sequence, which has no duration (TTML2, 12.2.4)."""
        return self.interval.begin == self.interval.end


@dataclass
class Group:
    """Pieces that are displayed together."""

    interval: Interval
    last_begin: Fraction
    is_open: bool
    texts: list[str] = field(default_factory=list)
    speakers: list[str] = field(default_factory=list)

    def add(self, piece: Piece, is_open: bool) -> None:
        own, new = self.interval, piece.interval
        end = None if own.end is None or new.end is None else max(own.end, new.end)
        self.interval = Interval(min(own.begin, new.begin), end, own.is_timed and new.is_timed)
        self.last_begin = max(self.last_begin, new.begin)
        self.is_open = self.is_open or is_open
        self.texts.append(piece.text)
        if piece.speaker and piece.speaker not in self.speakers:
            self.speakers.append(piece.speaker)

    @property
    def text(self) -> str:
        lines = (re.sub(r"\s+", " ", line).strip() for line in "".join(self.texts).split("\n"))
        return "\n".join(lines).strip()


def group_pieces(pieces: list[Piece], paragraph: Interval) -> list[Group]:
    """Group the pieces of a paragraph that are displayed together, in reading order."""
    groups: list[Group] = []
    before: list[str] = []
    has_spaces = any(piece.text != piece.text.strip() for piece in pieces)
    for piece in pieces:
        if not piece.text.strip() or piece.is_momentary:
            (groups[-1].texts if groups else before).append(piece.text)
            continue
        is_open = piece.interval.end is None or (piece.interval.is_open and paragraph.is_open)
        if not groups:
            groups.append(Group(piece.interval, piece.interval.begin, is_open, before))
        elif not (groups[-1].interval.overlaps(piece.interval) or (has_spaces and _continues(groups[-1], piece))):
            groups.append(Group(piece.interval, piece.interval.begin, is_open))
        groups[-1].add(piece, is_open)
    return groups


def _continues(group: Group, piece: Piece) -> bool:
    """Whether the piece is the rest of the group's last word, as in the syllables of karaoke."""
    last = group.texts[-1][-1:]
    return last.isalpha() and piece.text[0].isalpha() and group.interval.end == piece.interval.begin


@dataclass
class ParagraphReader:
    """Collects the pieces of paragraphs."""

    timing: Timing
    agents: Mapping[str, str]
    styles: Mapping[str, Element]
    report: Report
    """Called for text that cannot be used."""
    n_misplaced: int = 0
    """Number of spans whose times lie outside their parent's."""

    def pieces(self, element: Element, interval: Interval, *, preserve: bool = False) -> Iterator[Piece]:
        """Yield the text of a paragraph or span in reading order."""
        space = element.get(f"{XML}space")
        preserve = space == "preserve" if space else preserve
        speaker, sequential = self._speaker(element), is_sequence(element)
        reference = interval.begin

        def text(content: str | None) -> Iterator[Piece]:
            shown = Interval(reference, reference, interval.is_timed) if sequential else interval
            if content:
                yield Piece(content if preserve else content.replace("\n", " "), shown, speaker)

        yield from text(element.text)
        for child in element:
            name = local_name(child)
            if name == "br":
                yield Piece("\n", interval)
            elif name in _BLOCKS or (name in _SPANS and not self._is_annotation(child)):
                shown = self._interval(child, interval, reference)
                if shown:
                    inner = list(self.pieces(child, shown, preserve=preserve))
                    yield from [Piece("\n", shown), *inner, Piece("\n", shown)] if name in _BLOCKS else inner
                    reference = shown.end if sequential and shown.end is not None else reference
            yield from text(child.tail)

    def _interval(self, element: Element, container: Interval, reference: Fraction) -> Interval | None:
        """Return the interval of a span. Reports a span that is never displayed, and returns None."""
        try:
            interval = self.timing.interval(element, container, reference)
        except ValueError as error:
            self.report(element, f"bad time: {error}", container)
            return None
        is_outside = self.timing.is_outside(element, container, interval)
        self.n_misplaced += is_outside or interval.is_cut
        if is_outside:
            self.report(element, "is never displayed: it begins outside the time of its parent", interval)
            return None
        if interval.end is not None and interval.end <= interval.begin:
            self.report(element, "does not end after its begin", interval)
            return None
        return interval

    def _is_annotation(self, element: Element) -> bool:
        """Whether the element is a ruby annotation, which repeats its base as pronunciation."""
        if local_name(element) in _ANNOTATIONS:
            return True
        role = attribute(element, "ruby")
        names = attribute(element, "style").split()
        for _ in range(MAX_STYLE_DEPTH):
            styles = [style for name in names if (style := self.styles.get(name)) is not None]
            if role or not styles:
                break
            role = next((role for style in styles if (role := attribute(style, "ruby"))), "")
            names = [name for style in styles for name in attribute(style, "style").split()][:MAX_STYLE_DEPTH]
        return role in _ANNOTATING_RUBY

    def _speaker(self, element: Element) -> str:
        """Return the names of the nearest `ttm:agent`s, on the element or an ancestor."""
        if not self.agents:
            return ""
        around = (element, *element.iterancestors())
        ids = next((ids for e in around if (ids := attribute(e, "agent"))), "")
        return ", ".join(name for agent in ids.split() if (name := self.agents.get(agent)))
