"""A writer of TTML's profiles: W3C's, DFXP of two drafts, Apple's iTT, EBU-TT."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from xml.sax.saxutils import escape

from benchmarks.support.captions.script import Cue, Fault, Shown, Style, as_shown, with_ruby
from benchmarks.support.captions.timecode import FrameRate

TTML1 = "http://www.w3.org/ns/ttml"
DRAFT_2006_04, DRAFT_2006_10 = "http://www.w3.org/2006/04/ttaf1", "http://www.w3.org/2006/10/ttaf1"
COLOURS = ("white", "yellow", "cyan", "lime")
RUBY = (
    r'<span tts:ruby="container"><span tts:ruby="base">\1</span><span tts:ruby="delimiter">(</span>'
    r'<span tts:ruby="text">\2</span><span tts:ruby="delimiter">)</span></span>'
)
TICKS_PER_S = 10_000_000


@dataclass(frozen=True)
class Ttml:
    """The variant of TTML that a file is written in."""

    language: str
    namespace: str = TTML1
    prefix: str = ""
    """Of the elements, as `tt:` in EBU-TT."""
    times: str = "clock"
    """`clock`, `seconds`, `milliseconds`, `ticks`, `frames` (offsets), `frame clock` (media time) or `time code`."""
    rate: FrameRate | None = None
    multiplier_by: str = " "
    """What stands between the numbers of frameRateMultiplier: a space, or a colon in DFXP."""
    first_hour: int = 0
    """The hour of the clock at the programme's first frame."""
    declares_start: bool = False
    """Whether the document says so (EBU-TT's documentStartOfProgramme)."""
    structure: str = "begin end"
    """`begin end`, `begin dur`, `begin only`, `sequence` or `nested`."""
    has_colours: bool = False
    is_indented: bool = False
    encoding: str = "utf-8"


def write_ttml(cues: Sequence[Cue], variant: Ttml, rng: random.Random) -> bytes:
    """Write a document."""
    return _Document(variant, rng).text(as_shown(cues, rows=2, builds_up=False)).encode(variant.encoding)


class _Document:
    def __init__(self, variant: Ttml, rng: random.Random) -> None:
        self._variant, self._rng = variant, rng
        self._origin_ms = variant.first_hour * 3_600_000

    def text(self, shown: Sequence[Shown]) -> str:
        variant, tt = self._variant, self._variant.prefix
        body = {"sequence": self._sequence, "nested": self._nested}.get(variant.structure, self._parallel)(shown)
        xmlns = f"xmlns:{tt[:-1]}" if tt else "xmlns"
        start = self.time(0)
        declared = (
            f'<{tt}metadata><ebuttm:documentMetadata xmlns:ebuttm="urn:ebu:tt:metadata">'
            f"<ebuttm:documentStartOfProgramme>{start}</ebuttm:documentStartOfProgramme>"
            f"</ebuttm:documentMetadata></{tt}metadata>"
        )
        head = f"<{tt}head>{declared if variant.declares_start else ''}<{tt}layout/></{tt}head>"
        return (
            f'<?xml version="1.0" encoding="{variant.encoding.removesuffix("-sig")}"?>\n'
            f'<{tt}tt {xmlns}="{variant.namespace}" xmlns:ttp="{variant.namespace}#parameter" '
            f'xmlns:tts="{variant.namespace}#styling" xml:lang="{variant.language}"{self._parameters()}>\n'
            f"{head}<{tt}body>{body}</{tt}body></{tt}tt>\n"
        )

    def _parameters(self) -> str:
        variant, rate = self._variant, self._variant.rate
        parameters = {"tickRate": str(TICKS_PER_S)} if variant.times == "ticks" else {}
        parameters["timeBase"] = "smpte" if variant.times == "time code" else "media"
        if rate is not None:
            parameters["frameRate"] = str(rate.labels_per_s)
            if rate.is_ntsc:
                multiplier = rate.multiplier
                n, d = (multiplier.numerator, multiplier.denominator)
                parameters["frameRateMultiplier"] = f"{n}{variant.multiplier_by}{d}"
            if variant.times == "time code":
                parameters["dropMode"] = "dropNTSC" if rate.is_drop else "nonDrop"
        return "".join(f' ttp:{name}="{value}"' for name, value in parameters.items())

    def _parallel(self, shown: Sequence[Shown]) -> str:
        """Paragraphs side by side with times of the document."""
        structure = self._variant.structure
        paragraphs = []
        for at, one in enumerate(shown):
            following = shown[at + 1] if at + 1 < len(shown) else None
            # Only where the next one begins soon: nothing else ends a paragraph without an end.
            is_open = structure == "begin only" and following is not None and _is_open(one, following)
            begin, end = self.time(one.start_ms), self.time(one.end_ms)
            times = f'begin="{begin}" end="{end}"'
            if is_open:
                times = f'begin="{begin}"'
            elif structure == "begin dur":
                times = f'begin="{begin}" dur="{self.span(one.end_ms - one.start_ms)}"'
            match one.cue.fault:
                case Fault.NO_LENGTH:
                    times = f'begin="{begin}" end="{begin}"'
                case Fault.BACKWARDS:
                    times = f'begin="{end}" end="{begin}"'
                case Fault.BAD_TIME:
                    times = f'begin="{begin[:-2]}x{begin[-1:]}" end="{end}"'
                case Fault.LOST_TIMES:
                    times = ""
            paragraphs.append(self._paragraph(one, times))
        return self._container("", paragraphs)

    def _sequence(self, shown: Sequence[Shown]) -> str:
        """Paragraphs one after another, each with its pause before it and its duration."""
        paragraphs, at_ms = [], -self._origin_ms
        for one in shown:
            times = f'begin="{self.span(one.start_ms - at_ms)}" dur="{self.span(one.end_ms - one.start_ms)}"'
            paragraphs.append(self._paragraph(one, times))
            at_ms = one.end_ms
        return self._container(' timeContainer="seq"', paragraphs)

    def _nested(self, shown: Sequence[Shown]) -> str:
        """Paragraphs in groups, each with times that count from that of its group."""
        groups = []
        for at in range(0, len(shown), 8):
            part = shown[at : at + 8]
            first_ms = part[0].start_ms - 40
            paragraphs = [
                self._paragraph(
                    one, f'begin="{self.span(one.start_ms - first_ms)}" end="{self.span(one.end_ms - first_ms)}"'
                )
                for one in part
            ]
            groups.append(self._container(f' begin="{self.time(first_ms)}"', paragraphs))
        return "".join(groups)

    def _container(self, attributes: str, paragraphs: Sequence[str]) -> str:
        tt = self._variant.prefix
        return f"\n<{tt}div{attributes}>\n" + "\n".join(paragraphs) + f"\n</{tt}div>\n"

    def _paragraph(self, shown: Shown, times: str) -> str:
        tt, indent = self._variant.prefix, "\n      " if self._variant.is_indented else ""
        if shown.cue.style is Style.REVEAL:
            text = self._revealed(shown.cue)
        else:
            lines = (with_ruby(escape(line), RUBY).replace("<span", f"<{tt}span") for line in shown.lines)
            lines = (line.replace("</span", f"</{tt}span") for line in lines)
            text = f"{indent}<{tt}br/>{indent}".join(lines)
        if self._variant.has_colours:
            text = f'<{tt}span tts:color="{COLOURS[shown.cue.speaker]}">{text}</{tt}span>'
        language = ' xml:lang="xx"' if shown.cue.fault is Fault.FOREIGN else ""
        return f"<{tt}p {times}{language}>{indent}{text}{indent}</{tt}p>"

    def _revealed(self, cue: Cue) -> str:
        """The words as spans with begins in the paragraph's time, the first of them without."""
        tt, words = self._variant.prefix, list(cue.words)
        lines = []
        for line in cue.lines:
            parts = []
            for text in line.split():
                word = words.pop(0)
                begin = f' begin="{self.span(word.start_ms - cue.start_ms)}"' if word is not cue.words[0] else ""
                parts.append(f"<{tt}span{begin}>{escape(text)} </{tt}span>" if begin else f"{escape(text)} ")
            lines.append("".join(parts))
        return f"<{tt}br/>".join(lines)

    def time(self, ms: int) -> str:
        """A time of the document."""
        rate = self._variant.rate
        if self._variant.times == "time code" and rate is not None:
            return rate.label(rate.first_frame(self._variant.first_hour) + rate.frame(ms))
        return self.span(self._origin_ms + ms)

    def span(self, ms: int) -> str:
        """A duration."""
        rate = self._variant.rate
        match self._variant.times:
            case "seconds":
                return f"{ms / 1000:.3f}s"
            case "milliseconds":
                return f"{ms}ms"
            case "ticks":
                return f"{ms * TICKS_PER_S // 1000}t"
            case "frames" if rate is not None:
                return f"{rate.frame(ms)}f"
            case "frame clock" if rate is not None:
                seconds, fraction = divmod(ms, 1000)
                frames = min(int(fraction * rate.per_s / 1000), rate.labels_per_s - 1)
                return f"{_clock(seconds)}:{frames:02d}"
            case "time code" if rate is not None:
                return f"{float(Fraction(ms, 1000)):.3f}s"
        return f"{_clock(ms // 1000)}.{ms % 1000:03d}"


def _clock(seconds: int) -> str:
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def _is_open(shown: Shown, following: Shown) -> bool:
    """Whether a paragraph may be without an end: the next begins soon, and nothing else is odd about them."""
    is_soon = 0 <= following.start_ms - shown.end_ms <= 1000
    return is_soon and all(one.cue.style is Style.POP_ON and not one.cue.fault for one in (shown, following))
