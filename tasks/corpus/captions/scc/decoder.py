"""Decode a caption channel of CEA-608: control codes and characters to cues.

Pop-on captions are written to hidden memory and displayed at once; paint-on captions appear as they are written;
roll-up captions scroll, and each line becomes one cue, so that none is repeated.
"""

from __future__ import annotations

from enum import Enum, IntEnum, auto

from tasks.corpus.captions.open_ends import DraftCue
from tasks.corpus.captions.scc.characters import extended, is_substitute, special, standard
from tasks.corpus.records import Supervision

MAX_COLUMNS = 128  # a screen has 32; faulty encoders write spoken words beyond
N_ROWS = 15
_ROWS = {0x11: 1, 0x12: 3, 0x15: 5, 0x16: 7, 0x17: 9, 0x10: 11, 0x13: 12, 0x14: 14}  # by first byte of the code


class Control(IntEnum):
    """Second bytes of the miscellaneous control codes."""

    RESUME_CAPTION_LOADING = 0x20
    BACKSPACE = 0x21
    DELETE_TO_END_OF_ROW = 0x24
    ROLL_UP_2 = 0x25
    ROLL_UP_3 = 0x26
    ROLL_UP_4 = 0x27
    RESUME_DIRECT_CAPTIONING = 0x29
    TEXT_RESTART = 0x2A
    RESUME_TEXT_DISPLAY = 0x2B
    ERASE_DISPLAYED_MEMORY = 0x2C
    CARRIAGE_RETURN = 0x2D
    ERASE_HIDDEN_MEMORY = 0x2E
    END_OF_CAPTION = 0x2F


class Mode(Enum):
    POP_ON = auto()
    PAINT_ON = auto()
    ROLL_UP = auto()
    TEXT = auto()  # text service: no captions


class _Screen:
    """Rows of characters with a cursor."""

    def __init__(self) -> None:
        self.rows: dict[int, list[str]] = {}
        self.row, self.column = N_ROWS, 0
        self.first_s: float | None = None
        self.last_s = 0.0
        self.is_damaged = False

    def write(self, character: str, time_s: float) -> None:
        cells = self.rows.setdefault(self.row, [])
        if self.column >= MAX_COLUMNS:
            return
        cells.extend([" "] * (self.column + 1 - len(cells)))
        cells[self.column] = character
        self.column += 1
        if character != " ":
            self.first_s = time_s if self.first_s is None else self.first_s
            self.last_s = time_s

    def before_cursor(self) -> str:
        cells = self.rows.get(self.row, [])
        return cells[self.column - 1] if 0 < self.column <= len(cells) else ""

    def erase_before_cursor(self) -> None:
        if self.before_cursor():
            self.column -= 1
            self.rows[self.row][self.column] = " "

    def erase_to_end(self) -> None:
        del self.rows.get(self.row, [])[self.column :]

    def has_text(self, row: int) -> bool:
        return any(cell != " " for cell in self.rows.get(row, ()))

    @property
    def text(self) -> str:
        lines = (" ".join("".join(cells).split()) for _, cells in sorted(self.rows.items()))
        return "\n".join(filter(None, lines))


class ChannelDecoder:
    """Decodes one of the four caption channels."""

    def __init__(self) -> None:
        self.cues: list[DraftCue] = []
        self.undisplayed: list[tuple[float, str]] = []
        """Times and texts of pop-on captions that were erased before they were displayed."""
        self.damaged: list[Supervision] = []
        """Captions with missing characters or an unknown end."""
        self._mode: Mode | None = None
        self._hidden, self._shown = _Screen(), _Screen()
        self._displayed: tuple[float, _Screen] | None = None
        """The pop-on caption on the screen, and when it began."""
        self._time_s = 0.0

    def start_line(self, time_s: float) -> None:
        """Begin a line of the file. Until a code selects a mode, each line is a caption."""
        if self._mode is None:
            self._finish_shown(time_s)

    def execute(self, second: int, time_s: float) -> None:
        """Execute a miscellaneous control code."""
        self._time_s = time_s
        match second:
            case Control.RESUME_CAPTION_LOADING:
                self._mode = Mode.POP_ON
            case Control.ROLL_UP_2 | Control.ROLL_UP_3 | Control.ROLL_UP_4:
                if self._mode is not Mode.ROLL_UP:
                    self._erase_shown(time_s)
                    self._discard_hidden()
                self._mode = Mode.ROLL_UP
            case Control.RESUME_DIRECT_CAPTIONING:
                if self._mode is Mode.ROLL_UP:
                    self._finish_shown(None)
                self._mode = Mode.PAINT_ON
            case Control.TEXT_RESTART | Control.RESUME_TEXT_DISPLAY:
                self._mode = Mode.TEXT
            case Control.ERASE_DISPLAYED_MEMORY:
                self._erase_shown(time_s)
            case Control.CARRIAGE_RETURN:
                if self._mode is Mode.ROLL_UP:
                    self._finish_shown(None)
            case Control.ERASE_HIDDEN_MEMORY:
                self._discard_hidden()
            case Control.END_OF_CAPTION:
                self._flip(time_s)
            case Control.BACKSPACE:
                self._screen.erase_before_cursor()
            case Control.DELETE_TO_END_OF_ROW:
                self._screen.erase_to_end()

    def move_cursor(self, first: int, second: int, time_s: float) -> None:
        """Move the cursor (preamble address code)."""
        row = _ROWS[first] + (1 if second & 0x20 and first != 0x10 else 0)
        if self._mode is Mode.ROLL_UP:
            self._finish_shown(None)  # another line follows, with or without a carriage return
            row = N_ROWS
        elif self._mode is not Mode.POP_ON and self._shown.has_text(row):
            self._finish_shown(time_s)  # the row is overwritten
        screen = self._screen
        screen.row = row
        screen.column = ((second & 0x0E) >> 1) * 4 if second & 0x10 else 0

    def mark_damaged(self) -> None:
        """Mark the caption being written: a byte pair of it could not be read."""
        self._screen.is_damaged = True

    def mark_lost_line(self) -> None:
        """Mark the displayed captions: a line of the file could not be read, which may have ended them."""
        if self._displayed:
            self._displayed[1].is_damaged = True
        if self._shown.text:
            self._shown.is_damaged = True

    def move_right(self, n_columns: int) -> None:
        """Move the cursor right."""
        self._screen.column += n_columns

    def write_style(self, time_s: float) -> None:
        """Write the blank cell of a mid-row code, which changes the style."""
        self._write(" ", time_s)

    def write_special(self, second: int, time_s: float) -> None:
        self._write(special(second), time_s)

    def write_extended(self, first: int, second: int, time_s: float) -> None:
        """Write an extended character over its substitute."""
        character = extended(first, second)
        before = self._screen.before_cursor()
        if before and is_substitute(before, character):
            self._screen.erase_before_cursor()
        self._write(character, time_s)

    def write_standard(self, code: int, time_s: float) -> None:
        self._write(standard(code), time_s)

    def finish(self) -> None:
        """Turn what is still on the screen at the end of the file into cues."""
        self._finish_shown(None)
        self._finish_displayed(None)
        self._discard_hidden()

    @property
    def _screen(self) -> _Screen:
        return self._hidden if self._mode is Mode.POP_ON else self._shown

    def _write(self, character: str, time_s: float) -> None:
        if self._mode is not Mode.TEXT:
            self._screen.write(character, time_s)

    def _flip(self, time_s: float) -> None:
        """Display the hidden caption in place of the current one (end of caption)."""
        self._erase_shown(time_s)
        if self._hidden.text or self._hidden.is_damaged:
            self._displayed = (time_s, self._hidden)
        self._hidden = _Screen()
        self._mode = Mode.POP_ON

    def _erase_shown(self, time_s: float) -> None:
        self._finish_displayed(time_s)
        self._finish_shown(time_s)

    def _finish_shown(self, limit_s: float | None) -> None:
        """Turn paint-on or roll-up text into a cue. It ends with the next one, at `limit_s` at the latest."""
        shown, self._shown = self._shown, _Screen()
        self._shown.row = shown.row
        if shown.first_s is not None:
            limit_s = None if limit_s is None or limit_s <= shown.last_s else limit_s
            self._append(shown, shown.first_s, limit_s, shown.last_s)

    def _finish_displayed(self, end_s: float | None) -> None:
        """Turn the pop-on caption on the screen into a cue."""
        displayed, self._displayed = self._displayed, None
        if not displayed:
            return
        start_s, screen = displayed
        if end_s is not None and end_s <= start_s:
            self.undisplayed.append((start_s, screen.text))
        else:
            self._append(screen, start_s, end_s, start_s if end_s is None else None)

    def _append(self, screen: _Screen, start_s: float, end_s: float | None, open_from_s: float | None) -> None:
        cue = _make_cue(start_s, end_s, screen.text)
        if screen.is_damaged:
            self.damaged.append(cue)
        elif cue.text:
            self.cues.append(DraftCue(cue, None if open_from_s is None else round(open_from_s, 3)))

    def _discard_hidden(self) -> None:
        hidden, self._hidden = self._hidden, _Screen()
        if hidden.text:
            self.undisplayed.append((max(self._time_s, hidden.last_s), hidden.text))


def _make_cue(start_s: float, end_s: float | None, text: str) -> Supervision:
    return Supervision(start_s=round(start_s, 3), end_s=None if end_s is None else round(end_s, 3), text=text)
