"""Words as a person can have said them: no pause inside, no longer than their letters take, no endless syllable."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from tasks.audio import SAMPLES_PER_MS
from tasks.recognition.engine import RecognisedWord
from tasks.transcripts.document import WordTiming
from tasks.transcripts.spans import Span

# The longest that a word takes: this, and so much for each small letter and each sign that may be a word (a digit, a
# capital, a character without case).
MAX_WORD_MS, MAX_LETTER_MS, MAX_SIGN_MS = 600, 120, 400
MAX_NUMBER_DIGITS, MAX_DIGIT_MS = 12, 500  # beyond either, digits were read one by one
FRAME_MS = 20
# Quiet longer than this is a pause, 30 dB below the loudest of the word: longer than the closure of a stop.
MIN_PAUSE_MS, PAUSE_RATIO = 300, 1e-3
# Characters that are read out although they are neither letters nor digits.
_SPOKEN_MARKS = frozenset("%&@#+=°§")
# "1-5-0-4", "a-b-c-d", "1, 5,0": single characters. "U.S.A." and "15-04" are words.
_SPELLED = re.compile(r"(\W*)(\w(?:[-‐‑–—·]\w){2,}|\d(?:[-‐‑–—·,.]\d){3,})(\W*)")
_SEPARATORS = re.compile(r"[-‐‑–—·,.]")
_DIGITS = re.compile(r"(\W*)(\d{5,}|\d+(?:[-‐‑–—]\d+)+)(\W*)")
# A letter or syllable over and over: "ahhhhhhhh", "hahahahahahahaha", "ah-ah-ah-ah-ah-ah-ah-ah".
_DRAWN_OUT = re.compile(r"([^\W\d]{1,4}?[-‐‑–—'’.…]?)\1{7,}", re.IGNORECASE)
KEPT_REPEATS = 3


def is_spoken(text: str) -> bool:
    """Whether a text can be said: not "...", "♪♪♪" or "-"."""
    return any(c.isalnum() or c in _SPOKEN_MARKS or unicodedata.category(c) == "Sc" for c in text)


def is_drawn_out(text: str) -> bool:
    """Whether one letter or syllable is repeated more often than anybody writes."""
    return _DRAWN_OUT.search(text) is not None


def as_spoken(
    words: Sequence[RecognisedWord], samples: np.ndarray, speech: Sequence[Span]
) -> tuple[RecognisedWord, ...]:
    """Return a chunk's words with times of speech. Neither starts nor ends decrease.

    Texts that cannot be said are dropped, spelled strings are divided, and drawn-out words are shortened.

    Args:
        words: of the chunk, in order.
        samples: the chunk, `(n_samples,)` at 16 kHz.
        speech: its speech, in times of the chunk, in order.
    """
    n_frames = len(samples) // (FRAME_MS * SAMPLES_PER_MS)
    frames = samples[: n_frames * FRAME_MS * SAMPLES_PER_MS].reshape(n_frames, -1)  # (n_frames, 320)
    energies = np.einsum("ij,ij->i", frames, frames)  # (n_frames,)
    fitted: list[RecognisedWord] = []
    start_ms = end_ms = 0
    for word in words:
        if not is_spoken(word.text):
            continue
        for part in _divide(replace(word, text=_DRAWN_OUT.sub(_shorten, word.text))):
            span = _sounding(_longest_speech(part, speech), _max_ms(part.text), energies)
            start_ms, end_ms = max(start_ms, span.start_ms), max(end_ms, span.end_ms, start_ms)
            fitted.append(replace(part, start_ms=start_ms, end_ms=end_ms))
    return tuple(fitted)


def _max_ms(text: str) -> int:
    return MAX_WORD_MS + sum(MAX_LETTER_MS if c.islower() else MAX_SIGN_MS for c in text if c.isalnum())


def _shorten(match: re.Match[str]) -> str:
    return match[1] * KEPT_REPEATS


def _divide(word: RecognisedWord) -> Iterator[RecognisedWord]:
    """Yield the characters of a spelled string as words of equal length; or the word itself.

    A number is a string of digits if it is longer, or takes longer to say, than numbers do.
    """
    if match := _SPELLED.fullmatch(word.text):
        texts = _SEPARATORS.split(match[2])
    elif (match := _DIGITS.fullmatch(word.text)) and (
        len(match[2]) > MAX_NUMBER_DIGITS
        or word.end_ms - word.start_ms > MAX_DIGIT_MS * sum(map(str.isdigit, match[2]))
    ):
        texts = list(filter(str.isdigit, match[2]))
    else:
        yield word
        return
    texts[0], texts[-1] = match[1] + texts[0], texts[-1] + match[3]
    edges = np.linspace(word.start_ms, word.end_ms, len(texts) + 1).round().astype(int).tolist()
    for text, start_ms, end_ms in zip(texts, edges, edges[1:], strict=False):
        yield replace(word, text=text, start_ms=start_ms, end_ms=end_ms, timing=WordTiming.INTERPOLATED)


def _longest_speech(word: RecognisedWord, speech: Sequence[Span]) -> Span:
    """Return the part of a word that lies in one stretch of speech: the longest, or all of it outside of speech."""
    shared = [Span(max(word.start_ms, s.start_ms), min(word.end_ms, s.end_ms)) for s in speech]
    longest = max(shared, key=lambda span: span.duration_ms, default=None)
    return longest if longest and longest.duration_ms > 0 else Span(word.start_ms, word.end_ms)


def _sounding(span: Span, max_ms: int, energies: np.ndarray) -> Span:
    """Return the loudest part of a span without a pause, and of it the loudest `max_ms`. `energies`: `(n_frames,)`."""
    first, last = span.start_ms // FRAME_MS, -(-span.end_ms // FRAME_MS)
    inside = energies[first:last]  # (n_inside,)
    if span.duration_ms < MIN_PAUSE_MS or not inside.any():
        return span
    sounding = np.flatnonzero(inside > PAUSE_RATIO * inside.max())  # (n_sounding,)
    parts = np.split(sounding, np.flatnonzero(np.diff(sounding) * FRAME_MS > MIN_PAUSE_MS) + 1)
    loudest = max(parts, key=lambda part: float(inside[part].sum()))
    start, end = int(loudest[0]), int(loudest[-1]) + 1
    # Up to a pause's length of quiet belongs to the word: stops and fricatives.
    start = start if start * FRAME_MS > MIN_PAUSE_MS else 0
    end = end if (len(inside) - end) * FRAME_MS > MIN_PAUSE_MS else len(inside)
    n_max = max_ms // FRAME_MS
    if end - start > n_max:
        sums = np.convolve(inside[start:end], np.ones(n_max), "valid")  # (end - start - n_max + 1,)
        start += int(sums.argmax())
        end = start + n_max
    return Span(max(span.start_ms, (first + start) * FRAME_MS), min(span.end_ms, (first + end) * FRAME_MS))
