"""Parse EBU STL files: a header of 1,024 bytes (GSI) and text blocks of 128 bytes (TTI).

ttconv's reader is not used: it includes comments, ignores the programme start by default, drops text in an unknown
code table, splits words at italics, and treats 30 fps as drop-frame.
"""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from tasks.corpus.captions.open_ends import DraftCue, close_open_ends
from tasks.corpus.captions.parsed import ParsedCaptions
from tasks.corpus.captions.problems import ProblemList, TranscriptError, TranscriptProblem
from tasks.corpus.captions.stl.code_tables import CodeTable, select_code_table
from tasks.corpus.captions.stl.text_fields import START_BOX, UNUSED, Run, split_lines
from tasks.corpus.records import Supervision
from tasks.media.languages import same_language
from tasks.transcripts.formats.stl_languages import language_of

HEADER_BYTES, BLOCK_BYTES = 1024, 128
# Time code labels and frames per second of real time. Drop-frame time code at 29.97 is treated as exact.
FRAME_RATES = {
    "23": (24, Fraction(24000, 1001)),
    "24": (24, Fraction(24)),
    "25": (25, Fraction(25)),
    "29": (30, Fraction(30)),
    "30": (30, Fraction(30)),
    "50": (50, Fraction(50)),
    "60": (60, Fraction(60)),
}
DAY_S = 24 * 3600
MAX_SHARE_BEFORE_START = 0.1  # of the subtitles; with more, the programme start in the header is wrong
LAST_EXTENSION, USER_DATA, FIRST_RESERVED = 0xFF, 0xFE, 0xF0
FIRST_OF_SET, LAST_OF_SET = 1, 3  # of cumulative subtitles
_TTI = struct.Struct("<BHBB4s4sBBB112s")


@dataclass(frozen=True)
class _Header:
    labels_per_s: int
    frame_rate: Fraction
    table: str
    language: str
    start_s: Fraction
    is_start_valid: bool
    n_blocks: int
    is_teletext: bool


@dataclass(frozen=True)
class _Subtitle:
    number: int
    block: int
    """Number of its first text block, from 1."""
    cumulative: int
    is_comment: bool
    time_in: bytes
    time_out: bytes
    field: bytes


@dataclass(frozen=True)
class _Caption:
    """A subtitle with its text."""

    subtitle: _Subtitle
    start_s: Fraction | None
    end_s: Fraction | None
    text: str
    colours: tuple[str, ...]
    fault: str = ""


def parse_stl(data: bytes, language: str) -> ParsedCaptions:
    """Return the subtitles in the order of the file. Raises TranscriptError if it is not EBU STL."""
    header = _parse_header(data)
    remarks: list[str] = []
    subtitles = list(_read_subtitles(data, remarks))
    n_comments = sum(s.is_comment for s in subtitles)
    if n_comments:
        remarks.append(f"{n_comments} comments were left out")
    subtitles = [s for s in subtitles if not s.is_comment]
    is_teletext = header.is_teletext or any(START_BOX in s.field for s in subtitles)
    runs = [split_lines(s.field, is_teletext=is_teletext) for s in subtitles]
    texts = [run.codes for lines in runs for line in lines for run in line]
    table, remark = select_code_table(header.table, language, texts)
    remarks += [remark] if remark else []
    if header.language and not same_language(header.language, language):
        remarks.append(
            f"its header declares the language {header.language!r}, often a default of the tool, and was ignored"
        )
    captions = [_decode_caption(s, lines, header, table) for s, lines in zip(subtitles, runs, strict=True)]
    captions, start_s, remark = _subtract_start(captions, header)
    remarks += [remark] if remark else []
    return replace(_build_captions(captions, header, data, tuple(remarks)), programme_start_s=float(start_s))


def _parse_header(data: bytes) -> _Header:
    if len(data) < HEADER_BYTES or data[3:6] != b"STL":
        message = "not EBU STL: its header has no disk format code (text formats and 3D models are also named .stl)"
        raise TranscriptError(TranscriptProblem(1, message))

    def field(first: int, length: int) -> str:
        return data[first : first + length].decode("ascii", "replace").strip(" \0")

    labels, rate = FRAME_RATES.get(field(6, 2), FRAME_RATES["25"])
    start = field(256, 8)
    is_start_valid = field(255, 1) == "1" and re.fullmatch(r"\d{8}", start) is not None
    digits = bytes(int(start[at : at + 2]) for at in range(0, 8, 2)) if re.fullmatch(r"\d{8}", start) else bytes(4)
    return _Header(
        labels_per_s=labels,
        frame_rate=rate,
        table=field(12, 2),
        language=language_of(field(14, 2)),
        start_s=_seconds(digits, labels, rate) or Fraction(0),
        is_start_valid=is_start_valid,
        n_blocks=int(blocks) if (blocks := field(238, 5)).isdecimal() else 0,
        is_teletext=field(11, 1) in ("1", "2"),
    )


def _seconds(time_code: bytes, labels_per_s: int, frame_rate: Fraction) -> Fraction | None:
    """Convert a time code; None if it is invalid. Some files exceed their frame rate: up to 30 is accepted."""
    hours, minutes, seconds, frames = time_code
    if hours > 23 or minutes > 59 or seconds > 59 or frames > max(30, labels_per_s):
        return None
    return (((hours * 60 + minutes) * 60 + seconds) * labels_per_s + frames) / frame_rate


def _read_subtitles(data: bytes, remarks: list[str]) -> Iterator[_Subtitle]:
    """Yield the subtitles, with the text fields of their extension blocks joined."""
    pending: _Subtitle | None = None
    fields: list[bytes] = []  # joined once: in a file padded with zeros, one subtitle has all remaining blocks
    n_user_data = 0
    for block, at in enumerate(range(HEADER_BYTES, len(data) - BLOCK_BYTES + 1, BLOCK_BYTES), start=1):
        group, number, extension, cumulative, time_in, time_out, _, _, comment, field = _TTI.unpack_from(data, at)
        if FIRST_RESERVED <= extension <= USER_DATA:
            n_user_data += 1
            continue
        number += group << 16
        if pending and pending.number != number:
            yield replace(pending, field=b"".join(fields))  # its last block is missing
            pending = None
        if not pending:
            pending, fields = _Subtitle(number, block, cumulative, bool(comment), time_in, time_out, b""), []
        fields.append(field.split(bytes([UNUSED]))[0])
        if extension == LAST_EXTENSION:
            yield replace(pending, field=b"".join(fields))
            pending = None
    if pending:
        yield replace(pending, field=b"".join(fields))
    if n_user_data:
        remarks.append(f"{n_user_data} blocks of user data were left out")


def _decode_caption(subtitle: _Subtitle, lines: list[list[Run]], header: _Header, table: CodeTable) -> _Caption:
    colours: Counter[str] = Counter()
    texts, n_undefined = [], 0
    for line in lines:
        parts = []
        for run in line:
            text, n_lost = table.decode(run.codes)
            n_undefined += n_lost
            parts.append(text)
            if any(character.isalnum() for character in text):
                colours[run.colour] += 1  # keeps the order of first use
        texts.append(" ".join("".join(parts).split()))
    text = "\n".join(filter(None, texts))
    start_s, end_s = (
        _seconds(code, header.labels_per_s, header.frame_rate) for code in (subtitle.time_in, subtitle.time_out)
    )
    fault = f"{n_undefined} characters that its code table does not define" if n_undefined else ""
    return _Caption(subtitle, start_s, end_s, text, tuple(colours), fault)


def _subtract_start(captions: list[_Caption], header: _Header) -> tuple[list[_Caption], Fraction, str]:
    """Subtract the programme start (TCP) if times are time code.

    Return the captions, the time subtracted, and a remark.
    """
    starts = [c.start_s for c in captions if c.start_s is not None and c.text]
    if not header.start_s or not starts:
        return captions, Fraction(0), ""
    relative = [
        replace(c, start_s=_since(c.start_s, header.start_s), end_s=_since(c.end_s, header.start_s)) for c in captions
    ]
    before = [c for c in relative if _is_before_start(c)]
    start = f"{float(header.start_s):g} s (field TCP)"
    # If the header marks its time codes as not for use, times may count from the programme's first frame.
    max_before = max(1, MAX_SHARE_BEFORE_START * len(starts)) if header.is_start_valid else 0
    if len(before) > max_before or len(before) == len(starts):
        remark = f"the programme start of {start} was not subtracted: {len(before)} subtitles are before it"
        return captions, Fraction(0), remark
    if before:
        remark = f"{len(before)} before the programme start of {start} were left out: {before[0].text[:60]!r}"
        return [c for c in relative if not _is_before_start(c)], header.start_s, remark
    return relative, header.start_s, ""


def _is_before_start(caption: _Caption) -> bool:
    last_s = caption.start_s if caption.end_s is None else caption.end_s
    return bool(caption.text) and last_s is not None and last_s <= 0


def _since(time_s: Fraction | None, start_s: Fraction) -> Fraction | None:
    if time_s is None:
        return None
    since_s = time_s - start_s
    return since_s + DAY_S if since_s < -DAY_S // 2 else since_s  # past midnight


def _build_captions(
    captions: Sequence[_Caption], header: _Header, data: bytes, remarks: tuple[str, ...]
) -> ParsedCaptions:
    uses_colours = len({colour for c in captions for colour in c.colours}) > 1
    drafts: list[DraftCue] = []
    problems = ProblemList()

    def problem(block: int, message: str, start_s: float | None = None, end_s: float | None = None) -> None:
        after_s = drafts[-1].cue.start_s if drafts else None
        problems.append(TranscriptProblem(block, message, start_s, end_s, after_s, unit="text block"))

    in_set: list[_Caption] = []
    for caption in captions:
        if not caption.text:
            continue
        subtitle = caption.subtitle
        start_s, end_s = (None if time is None else round(float(time), 3) for time in (caption.start_s, caption.end_s))
        is_open = caption.end_s is None or (subtitle.time_out == bytes(4) and subtitle.time_in != bytes(4))
        if start_s is None:
            problem(subtitle.block, f"has no valid time: {caption.text[:60]!r}", end_s=end_s)
            continue
        if end_s is not None and end_s <= start_s and not is_open:
            problem(subtitle.block, f"does not end after its begin: {caption.text[:60]!r}", start_s, end_s)
            continue
        if caption.fault:
            problem(subtitle.block, f"has {caption.fault}: {caption.text[:60]!r}", start_s, end_s)
            continue
        if not FIRST_OF_SET < subtitle.cumulative <= LAST_OF_SET:
            in_set = []
        speaker = ", ".join(caption.colours) if uses_colours else ""
        draft = DraftCue(
            Supervision(start_s=start_s, end_s=None if is_open else end_s, text=caption.text, speaker=speaker),
            start_s if is_open else None,
        )
        if in_set and drafts[-1].cue.speaker == speaker:
            drafts[-1] = _add_words(drafts[-1], draft, in_set[-1].text)
        else:
            if in_set:
                drafts[-1] = _end_at(drafts[-1], start_s)
            drafts.append(draft)
        if subtitle.cumulative:
            in_set.append(caption)
    n_found = (len(data) - HEADER_BYTES) // BLOCK_BYTES
    if n_found < header.n_blocks:
        problem(n_found, f"the file ends here, though its header declares {header.n_blocks} text blocks")
    cues = close_open_ends(drafts)
    if not cues and problems:
        raise TranscriptError(problems[0])
    return ParsedCaptions(cues, problems, remarks, float(header.labels_per_s / header.frame_rate))


def _add_words(shown: DraftCue, added: DraftCue, last_text: str) -> DraftCue:
    """Return a subtitle with the words that a cumulative subtitle adds to it while it is displayed."""
    old, new = shown.cue, added.cue
    repeats = new.text.startswith(last_text)  # some files repeat what is already displayed
    kept = old.text.removesuffix(last_text).rstrip("\n") if repeats else old.text
    ends = [cue.end_s for cue in (old, new) if cue.end_s is not None]
    text = "\n".join(filter(None, [kept, new.text]))
    return DraftCue(old.model_copy(update={"text": text, "end_s": max(ends, default=None)}), added.open_from_s)


def _end_at(shown: DraftCue, start_s: float) -> DraftCue:
    """End a subtitle where another speaker's is added to it: its own words are spoken before."""
    if start_s <= shown.cue.start_s:
        return shown
    return DraftCue(shown.cue.model_copy(update={"end_s": start_s}))
