"""Convert TTML documents to cues.

A paragraph is one cue, or several if its spans replace each other. Layout, styles and animation are ignored; captions
that are images (IMSC image profile) are reported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

from tasks.corpus.captions.open_ends import DraftCue, close_open_ends
from tasks.corpus.captions.parsed import ParsedCaptions
from tasks.corpus.captions.problems import ProblemList, TranscriptError, TranscriptProblem
from tasks.corpus.captions.ttml.intervals import Interval, Timing, is_sequence
from tasks.corpus.captions.ttml.markup import parse_xml
from tasks.corpus.captions.ttml.text import XML, Group, ParagraphReader, attribute, group_pieces, local_name
from tasks.corpus.captions.ttml.times import TimeExpressions
from tasks.corpus.records import Supervision
from tasks.media.languages import language_tag

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

START_OF_PROGRAMME = "documentStartOfProgramme"  # EBU-TT's time code of the first frame, such as 10:00:00:00
PICTURE = "the caption is a picture without text (IMSC image profile)"


def parse_ttml(data: bytes) -> ParsedCaptions:
    """Return the cues in document order, and a problem for each text without usable times.

    Takes bytes, since XML declares its own encoding. Raises TranscriptError if it is not TTML, or nothing is usable.
    """
    document = parse_xml(data)
    root = document.root
    if local_name(root) != "tt":
        raise TranscriptError(TranscriptProblem(1, f"the root element is {local_name(root)}, not tt"))
    body = next((child for child in root if local_name(child) == "body"), None)
    if body is None:
        return ParsedCaptions([], document.problems(()))
    try:
        times = TimeExpressions.of_document(root)
        origin_s = _start_of_programme(root, times)
    except ValueError as error:
        raise TranscriptError(TranscriptProblem(root.sourceline or 1, str(error))) from None
    reader, remarks = _read(root, body, times)
    cues = close_open_ends([draft for _, draft in reader.drafts])
    placed = [(line, cue) for (line, _), cue in zip(reader.drafts, cues, strict=True)]
    problems = document.problems(placed) + reader.problems
    if document.ends_inside_paragraph and cues:
        cues.pop()  # its text is cut off: see the problem
    if not cues and problems:
        raise TranscriptError(problems[0])
    parsed = ParsedCaptions(cues, problems, document.remarks + remarks, times.label_second_s)
    starts = [cue.start_s for cue in cues]
    # Media time should count from the programme start, but some exporters write time code.
    counts_from_origin = max if times.is_time_code else min
    if not starts or counts_from_origin(starts) < origin_s:
        return parsed
    return replace(parsed.shift(-float(origin_s)), programme_start_s=float(origin_s))


def _read(root: Element, body: Element, times: TimeExpressions) -> tuple[_Reader, tuple[str, ...]]:
    reader = _Reader(root, Timing(times))
    reader.visit(body, Interval(Fraction(0)), Fraction(0))
    if not reader.n_misplaced:
        return reader, ()
    # Some exporters (lyrics of music services) count the times of spans from the document start, not the paragraph's.
    absolute = _Reader(root, Timing(times, is_absolute=True))
    absolute.visit(body, Interval(Fraction(0)), Fraction(0))
    if absolute.n_misplaced:
        return reader, ()
    return absolute, ("the times of its nested elements count from the start of the document",)


class _Reader:
    """Walks the element tree with the intervals of the enclosing elements."""

    def __init__(self, root: Element, timing: Timing) -> None:
        self._timing = timing
        self._paragraphs = ParagraphReader(timing, _agents(root), _styles(root), self._report)
        self.drafts: list[tuple[int, DraftCue]] = []
        """Cues with their source lines."""
        self.problems = ProblemList()
        self._n_misplaced = 0

    @property
    def n_misplaced(self) -> int:
        """Number of elements whose times lie outside their parent's."""
        return self._n_misplaced + self._paragraphs.n_misplaced

    def visit(self, element: Element, container: Interval, reference: Fraction) -> Fraction | None:
        """Read `element`. Return its end, where the next element of a sequence begins; None if it has none."""
        name = local_name(element)
        if name in ("image", "img"):
            self._report(element, PICTURE, container)
        if name not in ("body", "div", "p"):
            return reference
        try:
            interval = self._timing.interval(element, container, reference)
        except ValueError as error:
            self._report_bad_time(element, str(error), reference)
            return reference
        is_outside = self._timing.is_outside(element, container, interval)
        self._n_misplaced += is_outside or interval.is_cut
        if is_outside:
            self._report(element, "is never displayed: it begins outside the time of its parent", interval)
            return interval.end
        if name == "p":
            ends = self._paragraph(element, interval)
        else:
            if attribute(element, "backgroundImage"):
                self._report(element, PICTURE, interval)
            ends = self._children(element, interval)
        has_end = "end" in element.attrib or "dur" in element.attrib
        return interval.end if has_end or ends is None else ends

    def _children(self, element: Element, interval: Interval) -> Fraction | None:
        """Read the children. Return the end of the last one."""
        sequential, reference = is_sequence(element), interval.begin
        ends: Fraction | None = reference
        for child in element:
            if ends is None and sequential and local_name(child) in ("div", "p"):
                self._report(child, "has no begin: it follows an element without an end in a sequence", interval)
                continue
            end = self.visit(child, interval, reference)
            if sequential:
                ends = end
                reference = reference if end is None else end
            else:
                ends = None if end is None or ends is None else max(ends, end)
        return ends

    def _paragraph(self, element: Element, interval: Interval) -> Fraction | None:
        """Append the cues of a paragraph. Return the end of the last one."""
        if interval.end is not None and interval.end <= interval.begin:
            self._report(element, "the cue does not end after its begin", interval)
            return interval.end
        groups = group_pieces(list(self._paragraphs.pieces(element, interval)), interval)
        ends: Fraction | None = interval.begin
        for group in groups:
            self._append(element, group)
            ends = None if ends is None or group.interval.end is None else max(ends, group.interval.end)
        return ends

    def _append(self, element: Element, group: Group) -> None:
        begin, end = group.interval.begin, group.interval.end
        if not group.interval.is_timed:
            self._report(element, "has no times", group.interval, quote=group.text)
        elif group.text:
            cue = Supervision(
                start_s=round(float(begin), 3),
                end_s=None if end is None else round(float(end), 3),
                text=group.text,
                speaker=", ".join(group.speakers),
                language=_language(element),
            )
            is_open = group.is_open or end is None
            draft = DraftCue(cue, float(group.last_begin) if is_open else None)
            self.drafts.append((element.sourceline or 0, draft))

    def _report_bad_time(self, element: Element, message: str, reference: Fraction) -> None:
        """Report an element, with those of its times that can be read."""
        known: list[float | None] = []
        for name in ("begin", "end"):
            try:
                known.append(float(reference + self._timing.times.seconds(element.get(name, ""))))
            except ValueError:
                known.append(None)
        self._add_problem(element, f"bad time: {message}", *known)

    def _report(self, element: Element, message: str, interval: Interval, quote: str = "") -> None:
        text = quote or " ".join("".join(element.itertext()).split())
        if not text and message is not PICTURE:
            return  # no spoken words
        end_s = None if interval.end is None else float(interval.end)
        detail = f"{message}: {text[:60]!r}" if text else message
        self._add_problem(element, detail, float(interval.begin) if interval.is_timed else None, end_s)

    def _add_problem(self, element: Element, message: str, start_s: float | None, end_s: float | None) -> None:
        after_s = self.drafts[-1][1].cue.start_s if self.drafts else None
        self.problems.append(TranscriptProblem(element.sourceline or 0, message, start_s, end_s, after_s))


def _agents(root: Element) -> Mapping[str, str]:
    """Return the first name of each `ttm:agent` by id."""
    agents = {}
    for element in root.iter():
        if local_name(element) == "agent":
            names = [child for child in element if local_name(child) == "name"] or [element]
            agents[element.get(f"{XML}id", "")] = " ".join("".join(names[0].itertext()).split())
    return agents


def _styles(root: Element) -> Mapping[str, Element]:
    return {element.get(f"{XML}id", ""): element for element in root.iter() if local_name(element) == "style"}


def _start_of_programme(root: Element, times: TimeExpressions) -> Fraction:
    """Return EBU-TT's time code of the programme's first frame in seconds; 0 if it is not declared."""
    texts = (element.text for element in root.iter() if local_name(element) == START_OF_PROGRAMME)
    text = next(texts, None)
    return times.seconds(text) if text and text.strip() else Fraction(0)


def _language(element: Element) -> str:
    """Return `xml:lang` of the element or its nearest ancestor."""
    around = (element, *element.iterancestors())
    return language_tag(next((tag for e in around if (tag := e.get(f"{XML}lang")) is not None), "")) or ""
