"""`.stl`: EBU STL (EBU Tech 3264-E, 1991), the binary exchange format of broadcast subtitling.

Times are time codes in frames and include the media's start time code (field TCP), since the format is made for tape
and playout servers. Without one the programme starts at 00:00:00:00; codes wrap around at midnight. The format allows
at most 30 frames per second: at 50, every second frame counts.

A profile whose lines fit a teletext row (40 cells, of which boxing, double height and colour take three or four) is
written as level-1 teletext with speaker colours; a wider one as open subtitles, without colours. Characters outside the
code table are replaced, and the user-defined area states how many; if a replacement takes more cells ("€" is "EUR"),
the cues are cut again, so that no row is too long. Two mandatory fields that a transcript does not have are neutral:
the country is blank, and the dates are 1 January 1970, so that equal transcripts give equal bytes on any day.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from tasks.transcripts.colours import Colour
from tasks.transcripts.cues.cutting import Cue
from tasks.transcripts.document import Word
from tasks.transcripts.formats.rendition import Rendition
from tasks.transcripts.formats.stl_characters import best_table, encode, transliterate
from tasks.transcripts.formats.stl_languages import language_code
from tasks.transcripts.text import display_width

_DISK_FORMATS = {
    "23.976": "STL23.01",
    "24": "STL24.01",
    "25": "STL25.01",
    "29.97": "STL30.01",
    "30": "STL30.01",
}
_UNKNOWN_DATE = "700101"
_TELETEXT_LINE_WIDTH = 37
_N_TELETEXT_COLUMNS = 40
_N_ROWS = 23
_LAST_ROW = 22  # a double-height line fills this row and the one below

_NEW_LINE, _UNUSED = b"\x8a", b"\x8f"
_DOUBLE_HEIGHT, _START_BOX, _END_BOX = b"\x0d", [b"\x0b", b"\x0b"], [b"\x0a", b"\x0a"]
_TEXT_FIELD_BYTES = 112
_LAST_BLOCK = 0xFF
_MAX_EXTENSIONS = 0xF0  # 00h to EFh
_CENTRED = 2
# Text and timing information: group, number, extension, cumulative, in, out, row, justification, comment, text.
_TTI = struct.Struct("<BHBB4B4BBBB112s")
_SUBTITLES_PER_GROUP = 1 << 16
MAX_BLOCKS = 99_999  # five digits in the header


class _Subtitle(NamedTuple):
    cue: Cue
    fields: list[bytes]  # the text, split into text fields


def write(rendition: Rendition) -> bytes:
    """Write the file. Raises ValueError if the programme needs more blocks than the format can number."""
    is_teletext = rendition.profile.line_width <= _TELETEXT_LINE_WIDTH
    table, n_lost = _code_table(rendition), count_lost_characters(rendition)
    rendition = with_expansions(rendition)
    subtitles = [_subtitle(rendition, cue, table, is_teletext) for cue in rendition.cues]
    n_blocks = sum(len(subtitle.fields) for subtitle in subtitles)
    if n_blocks > MAX_BLOCKS:
        raise ValueError(f"EBU STL holds at most {MAX_BLOCKS:,} text blocks, and this programme needs {n_blocks:,}")
    header = _general_information(rendition, subtitles, n_blocks, table, n_lost, is_teletext)
    return header + b"".join(
        block
        for number, subtitle in enumerate(subtitles)
        for block in _text_and_timing(rendition, number, subtitle, is_teletext)
    )


def count_lost_characters(rendition: Rendition) -> int:
    """Count the characters of the transcript that the format cannot represent."""
    table = _code_table(rendition)
    counts = Counter(word.text for word in rendition.transcript.words)
    return sum(n * encode(text, table)[1] for text, n in counts.items())


def with_expansions(rendition: Rendition) -> Rendition:
    """Spell out the words whose replacements take more cells than columns, so that cues are cut with their width."""
    table = _code_table(rendition)

    def expand(word: Word) -> Word:
        text = transliterate(word.text, table)
        is_wider = display_width(text) > display_width(word.text)
        return word.model_copy(update={"text": text}) if is_wider else word

    segments = tuple(
        segment.model_copy(update={"words": tuple(map(expand, segment.words))})
        for segment in rendition.transcript.segments
    )
    if segments == rendition.transcript.segments:
        return rendition
    return replace(rendition, transcript=rendition.transcript.model_copy(update={"segments": segments}))


def _code_table(rendition: Rendition) -> str:
    return best_table("".join(word.text for word in rendition.transcript.words))


def _subtitle(rendition: Rendition, cue: Cue, table: str, is_teletext: bool) -> _Subtitle:
    codes: list[bytes] = []
    texts = rendition.coloured_lines(cue) if is_teletext else cue.dashed_lines()
    for line, text in zip(cue.lines, texts, strict=True):
        line_codes, _ = encode(text, table)
        if is_teletext:
            # A double-height line covers the row below it, hence two new lines.
            codes += [_NEW_LINE, _NEW_LINE] if codes else []
            colour = rendition.colour(line.speaker)
            colour_codes = [] if colour is Colour.WHITE else [bytes([colour.teletext])]
            row = [_DOUBLE_HEIGHT, *colour_codes, *_START_BOX, *line_codes]
            # The end of the row ends the box if no cell is left for the code.
            codes += row + _END_BOX[: max(0, _N_TELETEXT_COLUMNS - len(row))]
        else:
            codes += ([_NEW_LINE] if codes else []) + line_codes
    return _Subtitle(cue, _text_fields(codes))


def _text_fields(codes: list[bytes]) -> list[bytes]:
    """Pack codes into padded fields of 112 bytes, none split. Text beyond the last extension is cut off."""
    joined = b"".join(codes)
    if len(joined) <= _TEXT_FIELD_BYTES:
        return [joined.ljust(_TEXT_FIELD_BYTES, _UNUSED)]
    fields = [b""]
    for code in codes:
        if len(fields[-1]) + len(code) > _TEXT_FIELD_BYTES:
            fields.append(b"")
        fields[-1] += code
    return [field.ljust(_TEXT_FIELD_BYTES, _UNUSED) for field in fields[: _MAX_EXTENSIONS + 1]]


def _text_and_timing(rendition: Rendition, number: int, subtitle: _Subtitle, is_teletext: bool) -> Iterator[bytes]:
    """Yield blocks of 128 bytes; all but the last of a subtitle are numbered extensions."""
    clock, cue = rendition.clock.halved, subtitle.cue
    times = [
        part
        for code in (clock.at(cue.start_ms), clock.at(cue.end_ms))
        for part in (code.hours, code.minutes, code.seconds, code.frames)
    ]
    row = _LAST_ROW - (2 if is_teletext else 1) * (len(cue.lines) - 1)
    group, number_in_group = divmod(number, _SUBTITLES_PER_GROUP)
    for extension, field in enumerate(subtitle.fields):
        block = _LAST_BLOCK if extension == len(subtitle.fields) - 1 else extension
        yield _TTI.pack(group, number_in_group, block, 0, *times, row, _CENTRED, 0, field)


def _general_information(
    rendition: Rendition, subtitles: list[_Subtitle], n_blocks: int, table: str, n_lost: int, is_teletext: bool
) -> bytes:
    transcript, clock = rendition.transcript, rendition.clock.halved
    n_groups = max(1, -(-len(subtitles) // _SUBTITLES_PER_GROUP))
    first_ms = subtitles[0].cue.start_ms if subtitles else 0
    fields = [
        ("850", 3),  # CPN: code page of this block
        (_DISK_FORMATS[clock.rate], 8),  # DFC
        ("1" if is_teletext else "0", 1),  # DSC: level-1 teletext, or open
        (table, 2),  # CCT
        (language_code(transcript.language), 2),  # LC
        (transcript.media.name, 32),  # OPT: original programme title
        ("", 32 + 32 + 32 + 32 + 32),  # OET, TPT, TET, TN, TCD: other titles, the translator
        (transcript.media.sha256[:16], 16),  # SLR: reference
        (_UNKNOWN_DATE * 2, 12),  # CD, RD: created, revised
        ("00", 2),  # RN: revision
        (f"{n_blocks:05d}{len(subtitles):05d}{n_groups:03d}", 13),  # TNB, TNS, TNG
        (f"{_N_TELETEXT_COLUMNS if is_teletext else rendition.profile.line_width:02d}", 2),  # MNC
        (f"{_N_ROWS:02d}", 2),  # MNR
        ("1", 1),  # TCS: time codes are valid
        (clock.at(0).digits, 8),  # TCP: start of the programme
        (clock.at(first_ms).digits, 8),  # TCF: first subtitle
        ("11", 2),  # TND, DSN: disk one of one
        ("", 3 + 32 + 32 + 32 + 75),  # CO, PUB, EN, ECD, spare bytes
        (f"airscript {transcript.provenance.code_version}: {n_lost} characters replaced", 576),  # UDA
    ]
    return b"".join(text.encode("cp850", "replace")[:width].ljust(width) for text, width in fields)
