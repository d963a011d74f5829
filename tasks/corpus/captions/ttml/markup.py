"""Parse the XML of TTML documents, including malformed and truncated ones."""

from __future__ import annotations

import html
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lxml import etree

from tasks.corpus.captions.problems import TranscriptError, TranscriptProblem
from tasks.corpus.records import Supervision

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

SNIFFED_BYTES = 64 << 10
_XML_ENTITIES = {b"amp", b"lt", b"gt", b"quot", b"apos"}
_ENTITY = re.compile(rb"&(#?\w{1,31};)?")
_LESS_THAN = re.compile(rb"<(?![/!?A-Za-z_])")
_END = re.compile(rb"</(?:[\w-]{1,40}:)?tt\s*>$")
_PARAGRAPH = re.compile(rb"<(/?)(?:[\w-]{1,40}:)?p(?=[\s/>])")


@dataclass(frozen=True)
class Document:
    """A parsed document. `error` is set if it could not be fully repaired."""

    root: Element
    remarks: tuple[str, ...] = ()
    error: etree.XMLSyntaxError | None = None
    ends_inside_paragraph: bool = False

    def problems(self, cues: Sequence[tuple[int, Supervision]]) -> list[TranscriptProblem]:
        """Return the damage as a problem, placed in time by the line numbers of the cues."""
        if self.error is None:
            return []
        line = self.error.lineno or 1
        message = f"not well-formed XML: {self.error.msg}; words may be missing there"
        if self.ends_inside_paragraph and cues:
            last = cues[-1][1]
            return [TranscriptProblem(line, message, start_s=last.start_s)]
        before = [cue.start_s for number, cue in cues if number <= line]
        return [TranscriptProblem(line, message, after_s=before[-1] if before else None)]


def parse_xml(data: bytes) -> Document:
    """Parse a document. Raises TranscriptError if nothing of it can be read."""
    try:
        return Document(etree.fromstring(data, _parser()))
    except etree.XMLSyntaxError as error:
        original = error
    remark = f"line {original.lineno or 1} is not well-formed XML and was repaired: {original.msg}"
    repaired = _repair(data)
    try:
        return Document(etree.fromstring(repaired, _parser()), (remark,))
    except etree.XMLSyntaxError as error:
        left = error
    root = _recover(repaired)
    is_cut_off = _is_cut_off(repaired, left)
    is_one_line = repaired.strip().count(b"\n") == 0  # then the line number of a fault does not locate it
    if root is None or (is_one_line and not is_cut_off):
        raise TranscriptError(TranscriptProblem(original.lineno or 1, f"not well-formed XML: {original.msg}")) from None
    paragraphs = _PARAGRAPH.findall(repaired)
    return Document(root, (), left, is_cut_off and paragraphs[-1:] == [b""])


def is_ttml(head: bytes) -> bool:
    """Whether a file that begins with `head` is XML with the root element `tt`."""
    parser = etree.XMLPullParser(
        events=("start",), resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
    )
    try:
        parser.feed(head)
        for _, element in parser.read_events():
            return isinstance(element.tag, str) and element.tag.rpartition("}")[2] == "tt"
    except etree.XMLSyntaxError:
        pass
    return False


def _parser(*, recover: bool = False) -> etree.XMLParser:
    return etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, recover=recover)


def _is_cut_off(data: bytes, error: etree.XMLSyntaxError) -> bool:
    """Whether the error is that the document is truncated."""
    lines = data.rstrip().split(b"\n")
    line, column = error.position
    is_at_end = line > len(lines) or (line == len(lines) and column >= len(lines[-1].decode("utf-8", "ignore")))
    return is_at_end and not _END.search(lines[-1])


def _recover(data: bytes) -> Element | None:
    try:
        root: Element | None = etree.fromstring(data, _parser(recover=True))
    except etree.XMLSyntaxError:
        return None
    return root


def _repair(data: bytes) -> bytes:
    """Escape bare ampersands and less-than signs, and replace HTML's entities (`&nbsp;`), which XML does not have."""
    if b"\0" in data[:SNIFFED_BYTES]:
        return data  # UTF-16

    def replace_entity(match: re.Match[bytes]) -> bytes:
        name = (match[1] or b"").rstrip(b";")
        if name.startswith(b"#"):
            return match[0] if _is_character(name[1:]) else b"\xef\xbf\xbd"  # U+FFFD
        if name in _XML_ENTITIES:
            return match[0]
        character = html.unescape(match[0].decode("ascii", "replace"))
        if len(character) == 1 and name:
            return f"&#{ord(character)};".encode()
        return b"&amp;" + match[0][1:]

    return _LESS_THAN.sub(b"&lt;", _ENTITY.sub(replace_entity, data))


def _is_character(number: bytes) -> bool:
    """Whether XML 1.0 allows the character of a numeric reference: half of a surrogate pair (`&#xD800;`) is none."""
    is_hexadecimal = number[:1] == b"x"
    try:
        code = int(number[1:], 16) if is_hexadecimal else int(number)
    except ValueError:
        return False
    return (
        code in (9, 10, 13) or 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or 0x10000 <= code <= sys.maxunicode
    )
