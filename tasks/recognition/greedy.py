"""Greedy CTC decoding (Graves et al., 2006): the best symbol of each frame, repeats joined, blanks dropped."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tasks.recognition.engine import RecognisedWord
from tasks.transcripts.document import WordTiming

_WORD_START = "\u2581"  # SentencePiece's mark before a word
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")  # SentencePiece's byte fallback


@dataclass(frozen=True, slots=True)
class Symbol:
    """The text of one model output, as bytes: a symbol may be part of a character."""

    text: bytes
    starts_word: bool = False


@dataclass(frozen=True, slots=True)
class Emission:
    """One symbol, emitted on the frames from `start` up to `end`."""

    symbol: int
    start: int
    end: int
    confidence: float
    """The symbol's highest posterior on these frames."""


def symbol_table(tokens: Sequence[str], silent: Iterable[int]) -> tuple[Symbol, ...]:
    """Return the symbols of a tokenizer's tokens: characters with spaces, or SentencePiece's pieces.

    `silent` are ids without text: the blank, the unknown token, begin and end of text.
    """
    without_text = set(silent)
    return tuple(Symbol(b"") if index in without_text else _symbol(token) for index, token in enumerate(tokens))


def _symbol(token: str) -> Symbol:
    if byte := _BYTE.fullmatch(token):
        return Symbol(bytes([int(byte[1], 16)]))
    spaced = token.replace(_WORD_START, " ")
    return Symbol(spaced.strip(" ").encode(), starts_word=spaced.startswith(" "))


def collapse(symbols: np.ndarray, posteriors: np.ndarray, blank: int) -> list[Emission]:
    """Return the runs of equal symbols, without the blank.

    symbols: the best symbol of each frame, `(n_frames,)` integers; posteriors: its probability, `(n_frames,)`.
    """
    if not len(symbols):
        return []
    starts = np.flatnonzero(np.r_[True, symbols[1:] != symbols[:-1]])  # (n_runs,)
    ends = np.r_[starts[1:], len(symbols)]  # (n_runs,)
    peaks = np.maximum.reduceat(posteriors, starts)  # (n_runs,)
    return [
        Emission(int(symbols[start]), int(start), int(end), float(peak))
        for start, end, peak in zip(starts, ends, peaks, strict=True)
        if symbols[start] != blank
    ]


def to_words(
    emissions: Iterable[Emission], symbols: Sequence[Symbol], frame_ms: float, duration_ms: int
) -> tuple[RecognisedWord, ...]:
    """Group emissions into words.

    Signs that are read aloud (`%`, `€`, `&`, `+`) are words; punctuation is not.

    Frame `i` is centred on `i · frame_ms`, so a word begins half a frame before its first frame and ends half
    a frame after its last. Its confidence is the geometric mean of its symbols' confidences.
    """
    words: list[RecognisedWord] = []
    last_ms = 0
    for group in _by_word(emissions, symbols):
        text = b"".join(symbols[e.symbol].text for e in group).decode(errors="replace")
        if not any(map(_is_read_aloud, text)):
            # Punctuation on its own belongs to the last word, unless that word has some already; then it is dropped.
            if words and words[-1].text[-1].isalnum():
                words[-1] = replace(words[-1], text=words[-1].text + text)
            continue
        start_ms = min(max(round((group[0].start - 0.5) * frame_ms), last_ms), duration_ms)
        end_ms = min(max(round((group[-1].end - 0.5) * frame_ms), start_ms), duration_ms)
        confidence = float(np.exp(np.mean([np.log(max(e.confidence, 1e-9)) for e in group])))
        words.append(RecognisedWord(text, start_ms, end_ms, min(confidence, 1.0), WordTiming.CTC))
        last_ms = end_ms
    return tuple(words)


def _is_read_aloud(character: str) -> bool:
    return character.isalnum() or character in "%&@#" or unicodedata.category(character) in ("Sc", "Sm", "So")


def _by_word(emissions: Iterable[Emission], symbols: Sequence[Symbol]) -> Iterator[list[Emission]]:
    """Yield the emissions of each word: those with text, split where a symbol starts a word."""
    group: list[Emission] = []
    for emission in emissions:
        symbol = symbols[emission.symbol] if emission.symbol < len(symbols) else Symbol(b"")
        if symbol.starts_word and group:
            yield group
            group = []
        if symbol.text:
            group.append(emission)
    if group:
        yield group
