"""Greedy CTC decoding (Graves et al., 2006): the best symbol of each frame, repeats joined, blanks dropped."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tasks.recognition.engine import Word
from tasks.transcripts.document import WordTiming

_WORD_START = "\u2581"  # SentencePiece's mark before a word
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")  # SentencePiece's byte fallback


@dataclass(frozen=True, slots=True)
class Symbol:
    """What one output of the model writes: bytes, since a symbol may be part of a character."""

    text: bytes
    opens_word: bool = False


@dataclass(frozen=True, slots=True)
class Emission:
    """One symbol, said on the frames from `start` up to `end`."""

    symbol: int
    start: int
    end: int
    confidence: float
    """The highest posterior of its frames."""


def vocabulary(tokens: Sequence[str], silent: Iterable[int]) -> tuple[Symbol, ...]:
    """Symbols of a tokenizer's tokens. Characters with spaces and SentencePiece's pieces are understood.

    `silent` are ids that write nothing: the blank, the unknown, what opens and closes a text.
    """
    quiet = set(silent)
    return tuple(Symbol(b"") if index in quiet else _symbol(token) for index, token in enumerate(tokens))


def _symbol(token: str) -> Symbol:
    if byte := _BYTE.fullmatch(token):
        return Symbol(bytes([int(byte[1], 16)]))
    spaced = token.replace(_WORD_START, " ")
    return Symbol(spaced.strip(" ").encode(), opens_word=spaced.startswith(" "))


def emissions(symbols: np.ndarray, posteriors: np.ndarray, blank: int) -> list[Emission]:
    """Runs of equal symbols that are not the blank.

    symbols: the best symbol of each frame, `(n_frames,)` integers; posteriors: its probability, `(n_frames,)`.
    """
    if not len(symbols):
        return []
    starts = np.flatnonzero(np.r_[True, symbols[1:] != symbols[:-1]])
    ends = np.r_[starts[1:], len(symbols)]
    peaks = np.maximum.reduceat(posteriors, starts)
    return [
        Emission(int(symbols[start]), int(start), int(end), float(peak))
        for start, end, peak in zip(starts, ends, peaks, strict=True)
        if symbols[start] != blank
    ]


def words(found: Iterable[Emission], symbols: Sequence[Symbol], frame_ms: float, duration_ms: int) -> tuple[Word, ...]:
    """Emissions as words.

    Signs that are read aloud (`%`, `€`, `&`, `+`) are words like any other; marks are not.

    Frame `i` is centred on `i · frame_ms`, so a word begins half a frame before its first and ends half a frame
    after its last. Its confidence is the geometric mean of its symbols'.
    """
    spelled: list[Word] = []
    last_ms = 0
    for group in _grouped(found, symbols):
        text = b"".join(symbols[e.symbol].text for e in group).decode(errors="replace")
        if not any(map(_is_read_aloud, text)):
            # A mark on its own is the last word's, if that has none yet; else it is noise.
            if spelled and spelled[-1].text[-1].isalnum():
                spelled[-1] = replace(spelled[-1], text=spelled[-1].text + text)
            continue
        start_ms = min(max(round((group[0].start - 0.5) * frame_ms), last_ms), duration_ms)
        end_ms = min(max(round((group[-1].end - 0.5) * frame_ms), start_ms), duration_ms)
        confidence = float(np.exp(np.mean([np.log(max(e.confidence, 1e-9)) for e in group])))
        spelled.append(Word(text, start_ms, end_ms, min(confidence, 1.0), WordTiming.CTC))
        last_ms = end_ms
    return tuple(spelled)


def _is_read_aloud(character: str) -> bool:
    return character.isalnum() or character in "%&@#" or unicodedata.category(character) in ("Sc", "Sm", "So")


def _grouped(found: Iterable[Emission], symbols: Sequence[Symbol]) -> Iterator[list[Emission]]:
    """The emissions of each word: those that write something, parted where a symbol opens a word."""
    group: list[Emission] = []
    for emission in found:
        symbol = symbols[emission.symbol] if emission.symbol < len(symbols) else Symbol(b"")
        if symbol.opens_word and group:
            yield group
            group = []
        if symbol.text:
            group.append(emission)
    if group:
        yield group
