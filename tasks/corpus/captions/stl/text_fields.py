"""Split the text fields of EBU STL into lines and runs of one colour."""

from __future__ import annotations

from dataclasses import dataclass

COLOURS = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")  # of the codes 00h to 07h
NEW_LINE, UNUSED, START_BOX = 0x8A, 0x8F, 0x0B
_SPACE, _DELETE, _LAST_STYLE = 0x20, 0x7F, 0x85


@dataclass(frozen=True)
class Run:
    """Codes of one colour, without control codes."""

    colour: str
    codes: bytes


def split_lines(field: bytes, *, is_teletext: bool) -> list[list[Run]]:
    """Split a text field into its lines and colours."""
    lines: list[list[Run]] = [[]]
    codes = bytearray()
    colour, is_mosaic = "white", False

    def finish_run() -> None:
        if codes:
            lines[-1].append(Run(colour, bytes(codes)))
            codes.clear()

    for code in field:
        if code == NEW_LINE:
            finish_run()
            lines.append([])
            if is_teletext:  # each row starts white
                colour, is_mosaic = "white", False
        elif code < _SPACE:
            codes.append(_SPACE)  # a teletext control code takes a cell, so it separates words
            if code < len(COLOURS):
                finish_run()
                colour, is_mosaic = COLOURS[code], False
            elif 0x10 <= code <= 0x17:  # graphics follow
                is_mosaic = True
        elif not (0x80 <= code <= _LAST_STYLE or code == _DELETE or is_mosaic):
            codes.append(code)  # codes from 80h switch italics, underline and boxes, and take no cell
    finish_run()
    return lines
