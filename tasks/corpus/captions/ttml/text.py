"""The text of a paragraph: pieces with the interval in which each is shown, grouped into cues.

Spans that add words to those already shown reveal one text: one cue, from its first word to its last. Spans that
replace each other are cues of their own.
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
_SPANS = {"span", "i", "b", "u", "em", "strong", "font", "ruby", "rb"}  # HTML's are not TTML, but found in it
_BLOCKS = {"p", "div"}  # inside a paragraph only where a tag that should close it is missing
_ANNOTATIONS = {"rt", "rtc", "rp"}
_ANNOTATING_RUBY = {"text", "textContainer", "delimiter"}  # of tts:ruby: how the base is pronounced

Report = Callable[["Element", str, Interval], None]


def local_name(element: Element) -> str:
    """The local name: profiles and drafts of TTML use different namespaces. Empty for comments."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def attribute(element: Element, name: str) -> str:
    """The value of an attribute in whatever namespace, or an empty string."""
    if name in element.attrib:
        return element.get(name, "")
    return next((str(v) for k, v in element.attrib.items() if str(k).endswith("}" + name)), "")


@dataclass(frozen=True)
class Piece:
    """A run of text with the interval in which it is shown."""

    text: str
    interval: Interval
    speaker: str = ""

    @property
    def is_momentary(self) -> bool:
        """Whether it is text between the children of a sequence, whose duration is zero (TTML2, 12.2.4)."""
        return self.interval.begin == self.interval.end


@dataclass
class Group:
    """Pieces that are shown together."""

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


def grouped(pieces: list[Piece], paragraph: Interval) -> list[Group]:
    """Return the pieces of a paragraph in groups that are shown together, in reading order."""
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
    """Spans whose times lie outside of their parents'."""

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
        """The interval of a span; None if it is never shown, which is reported."""
        try:
            interval = self.timing.interval(element, container, reference)
        except ValueError as error:
            self.report(element, f"bad time: {error}", container)
            return None
        is_outside = self.timing.is_outside(element, container, interval)
        self.n_misplaced += is_outside or interval.is_cut
        if is_outside:
            self.report(element, "is never shown, since it begins outside of the time of its parent", interval)
            return None
        if interval.end is not None and interval.end <= interval.begin:
            self.report(element, "does not end after its begin", interval)
            return None
        return interval

    def _is_annotation(self, element: Element) -> bool:
        """Whether the element tells how a text is pronounced (ruby): it was said once."""
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
        """The names of the nearest `ttm:agent`s, around or on the element."""
        if not self.agents:
            return ""
        around = (element, *element.iterancestors())
        ids = next((ids for e in around if (ids := attribute(e, "agent"))), "")
        return ", ".join(name for agent in ids.split() if (name := self.agents.get(agent)))
