"""Cues of SubRip and WebVTT: blocks of a timing line and text lines.

SubRip is parsed as players do: missing or repeated numbers, empty lines anywhere, none between cues. WebVTT
follows W3C: an empty line ends a cue, a line of spaces does not (automatic captions begin with one). Its NOTE, STYLE
and REGION blocks and cue settings are skipped; `<v Name>` gives the speaker.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tasks.corpus.captions.chains import shorten_chains
from tasks.corpus.captions.problems import ProblemList, TranscriptError, TranscriptProblem
from tasks.corpus.captions.subtitles.markup import place_of, plain_text, speaker_of
from tasks.corpus.captions.subtitles.timing import Timing, cue_number, frame_rate_of, parse_timing
from tasks.corpus.records import Supervision

SKIPPED_BLOCK = re.compile(r"^(NOTE|STYLE|REGION)(\s|$)")
SPOKEN_CHARACTERS_PER_S = 15
MIN_SPARE_S = 1.0  # of a cue beyond the time of its own words, for the paragraph below to belong to it
MAX_QUOTE = 60


def parse_subtitles(text: str, *, is_webvtt: bool = False) -> tuple[list[Supervision], list[TranscriptProblem]]:
    """Return the cues in file order, and the problems. Text that begins with WEBVTT is always parsed as WebVTT.

    Raises TranscriptError if there is text but not a single cue.
    """
    reader = _Reader(text.split("\n"), is_webvtt or text.startswith("WEBVTT"))
    reader.read()
    if not reader.cues and text.strip():
        first = next(number for number, line in enumerate(reader.lines, start=1) if line.strip())
        raise TranscriptError(
            reader.problems[0]
            if reader.problems
            else TranscriptProblem(first, "no cue with times (00:00:01,000 --> 00:00:02,000)")
        )
    return shorten_chains(reader.cues, reader.places), reader.problems


@dataclass
class _Reader:
    """Reads the lines from top to bottom. Positions count from 0, lines in problems from 1."""

    lines: list[str]
    is_webvtt: bool
    cues: list[Supervision] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    problems: ProblemList = field(default_factory=ProblemList)
    timings: dict[int, Timing] = field(default_factory=dict)
    """The timing lines, by position."""
    is_last_usable: bool = False
    """Whether the latest timing line has usable times."""
    stray: list[tuple[int, list[str]]] = field(default_factory=list)
    """Paragraphs after it that belong to no cue, with their positions."""

    def read(self) -> None:
        """Parse all lines into `cues` and `problems`."""
        frame_rate = frame_rate_of(self.lines)
        above = ""
        for number, line in enumerate(self.lines):
            if timing := parse_timing(line, above, frame_rate):
                self.timings[number] = timing
            above = line
        at, end = 0, len(self.lines)
        while at < end:
            if SKIPPED_BLOCK.match(self.lines[at]):
                at = next((n for n in range(at, end) if not self.lines[n].strip()), end)
            elif timing := self.timings.get(at):
                self._settle_stray(timing.start_s)
                at = self._read_cue(at, timing)
            elif self.lines[at].strip():
                at = self._read_stray(at)
            else:
                at += 1
        self._settle_stray(None)

    def _read_cue(self, at: int, timing: Timing) -> int:
        """Read the cue of the timing line at `at`. Return the position after it."""
        end = at + 1
        while end < len(self.lines) and (self.lines[end] or not self.is_webvtt) and end not in self.timings:
            end += 1
        following = self.timings.get(end)
        block, next_number = self._split_off_number(self.lines[at + 1 : end], above_times=following is not None)
        number = cue_number(self.lines[at - 1]) if at else None
        lost: list[tuple[int, list[str]]] = []
        if not self.is_webvtt and number is not None:
            block, lost = _split_off_lost_cues(block, number, next_number, timing, following)
        if timing.text:
            block = [timing.text, *block]
        self._add(at, timing, "\n".join(block))
        for offset, paragraph in lost:
            self._report_lost(at + 1 + offset, f"the times of this cue are missing: {_quote(paragraph)}")
        return end

    def _split_off_number(self, block: list[str], *, above_times: bool) -> tuple[list[str], int | None]:
        """Split off the next cue's number: right above its times or, in SubRip, after a gap."""
        last = len(block) - 1
        if above_times and block and (number := cue_number(block[last])) is not None:
            return block[:last], number
        while last >= 0 and not block[last].strip():
            last -= 1
        if not self.is_webvtt and last > 0 and not block[last - 1].strip():
            number = cue_number(block[last])
            return (block, None) if number is None else (block[:last], number)
        return block, None

    def _add(self, at: int, timing: Timing, text: str) -> None:
        """Append the cue, or the problem with it."""
        start_s, end_s = timing.start_s, timing.end_s
        quote = repr(self.lines[at].strip()[:MAX_QUOTE])
        self.is_last_usable = start_s is not None and end_s is not None and start_s < end_s
        if start_s is None or end_s is None:
            self._report_lost(at, f"invalid cue times: {quote}", start_s, end_s)
        elif end_s <= start_s:
            self._report_lost(at, f"the cue ends before it begins: {quote}", start_s, end_s)
        else:
            self.cues.append(Supervision(start_s=start_s, end_s=end_s, text=plain_text(text), speaker=speaker_of(text)))
            self.places.append(place_of(text, timing.settings))

    def _read_stray(self, at: int) -> int:
        """Note a paragraph outside cues. Its last line may be the next cue's identifier. Return its end."""
        end = at + 1
        while end < len(self.lines) and self.lines[end].strip() and end not in self.timings:
            end += 1
        paragraph = self.lines[at : end - 1 if end in self.timings else end]
        if paragraph and (self.cues or self.problems):  # before the first cue: a header
            self.stray.append((at, paragraph))
        return end

    def _settle_stray(self, next_start_s: float | None) -> None:
        """Add paragraphs to the cue above if their words fit only into its time, else report them as lost."""
        stray, self.stray = self.stray, []
        if not stray:
            return
        lines = [line for _, paragraph in stray for line in paragraph]
        if self.is_last_usable and not any(cue_number(paragraph[0]) is not None for _, paragraph in stray):
            cue, text = self.cues[-1], plain_text("\n".join(lines))
            if _fits_only_within(cue, text, next_start_s):
                self.cues[-1] = cue.model_copy(update={"text": f"{cue.text}\n{text}".strip()})
                return
        for at, paragraph in stray:
            self._report_lost(at, f"belongs to no cue: {_quote(paragraph)}")

    def _report_lost(self, at: int, message: str, start_s: float | None = None, end_s: float | None = None) -> None:
        after_s = self.cues[-1].start_s if self.cues else None
        self.problems.append(TranscriptProblem(at + 1, message, start_s, end_s, after_s))


def _split_off_lost_cues(
    block: list[str], number: int, next_number: int | None, timing: Timing, following: Timing | None
) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Split off cues whose timing line is missing, with their positions in the block.

    Without this, their words go to the cue above. They still have numbers, or the numbering has a gap for them.
    """
    heads: list[int] = []
    for at, line in enumerate(block):
        is_expected = cue_number(line) == number + len(heads) + 1
        is_apart = at > 0 and not block[at - 1].strip()
        if is_expected and (is_apart if next_number is None else number + len(heads) + 1 < next_number):
            heads.append(at)
    if not heads and next_number is not None and next_number > number + 1:
        starts = [at for at in range(1, len(block)) if block[at].strip() and not block[at - 1].strip()]
        heads = starts[-(next_number - number - 1) :]
        if heads and not (
            any(line.strip() for line in block[: heads[0]])
            and _fits_between("".join(block[heads[0] :]), timing, following)
        ):
            heads = []
    if not heads:
        return block, []
    ends = [*heads[1:], len(block)]
    lost = [(at, block[at:end]) for at, end in zip(heads, ends, strict=True)]
    lost = [(at, lines) for at, lines in lost if any(line.strip() and cue_number(line) is None for line in lines)]
    return block[: heads[0]], lost


def _fits_between(text: str, timing: Timing, following: Timing | None) -> bool:
    """Whether the gap between two cues is long enough for the text at up to double the usual pace."""
    if following is None or following.start_s is None or timing.end_s is None:
        return True
    return following.start_s - timing.end_s >= len(text) / SPOKEN_CHARACTERS_PER_S / 2


def _fits_only_within(cue: Supervision, text: str, next_start_s: float | None) -> bool:
    """Whether `text` belongs to `cue`: the cue has time to spare, and the gap after it is too short."""
    if next_start_s is None or cue.end_s is None:
        return False
    needed_s = len(text) / SPOKEN_CHARACTERS_PER_S
    spare_s = cue.end_s - cue.start_s - len(cue.text) / SPOKEN_CHARACTERS_PER_S
    return next_start_s - cue.end_s < needed_s / 2 and spare_s >= max(needed_s, MIN_SPARE_S)


def _quote(paragraph: list[str]) -> str:
    words = next((line for line in paragraph if line.strip() and cue_number(line) is None), paragraph[0])
    return repr(words.strip()[:MAX_QUOTE])
