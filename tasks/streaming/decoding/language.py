"""The spoken language: decided at the start of a session and changed only on strong evidence. Pure functions.

A *stretch* is the part of an utterance in which the language is checked: its first second and a half, or three seconds
where that is not in the language spoken so far. Until then its words are held back, so that hardly any is committed in
the wrong language. Accents must not change it: Whisper base votes with 0.5 to 0.8 for Chinese when Mandarin speakers
read English digits.
"""

from __future__ import annotations

from tasks.streaming.runtime.messages import State

MIN_HEARD_MS = 1_500  # speech for a first look
DECISIVE_MS = 3_000  # speech for a decision
RECHECK_MS = 8_000  # of speech without a pause, after a check
MIN_PROBABILITY = 0.9  # of another language than before, or of one that is decided before `DECISIVE_MS`
MIN_KNOWN_PROBABILITY = 0.6  # of a language that the session has had before
CONTESTED_PROBABILITY = 0.3  # of the language so far, below which the first look does not settle it


class LanguageState(State):
    code: str = ""
    """The language decided for (BCP 47); empty before the first decision."""
    guess: str = ""
    """The likeliest language at the last check; used as long as none is decided."""
    had: tuple[str, ...] = ()
    """The languages of the session so far."""
    since_ms: int = 0
    """Since when `code` is spoken: earlier words are no context for the decoder."""
    utterance_ms: int = -1
    """Start of the utterance that is being checked."""
    stretch_ms: int = 0
    """Start of the stretch to check."""
    is_contested: bool = False
    """Whether the first look at the stretch found another language."""
    holds_back: bool = False
    """Whether words await the check."""


def begin_stretch(state: LanguageState, utterance_ms: int) -> None:
    """Start a stretch at an utterance's start, unless that has been done."""
    if utterance_ms != state.utterance_ms:
        state.utterance_ms = state.stretch_ms = utterance_ms
        state.is_contested, state.holds_back = False, True


def is_due(state: LanguageState, end_ms: int, is_final: bool = False) -> bool:
    """Whether to check the stretch up to `end_ms`. `is_final`: the utterance ends there."""
    heard_ms = end_ms - state.stretch_ms
    if is_final:
        return heard_ms >= MIN_HEARD_MS or (heard_ms > 0 and not state.code)
    return heard_ms >= (DECISIVE_MS if state.is_contested else MIN_HEARD_MS)


def update(state: LanguageState, probabilities: dict[str, float], end_ms: int) -> bool:
    """Take a check of the stretch up to `end_ms` into account; return whether another language is spoken than before.

    A stretch that ends before `DECISIVE_MS` decides only the session's first language, and only with certainty.
    """
    heard_ms = end_ms - state.stretch_ms
    likeliest = state.guess = max(probabilities, key=lambda code: (probabilities[code], code))
    if probabilities.get(state.code, 0.0) >= CONTESTED_PROBABILITY and not state.is_contested:
        _settle(state, end_ms)
        return False
    is_enough = heard_ms >= DECISIVE_MS
    if not state.code:
        is_decided = is_enough or probabilities[likeliest] >= MIN_PROBABILITY
    else:
        needed = MIN_KNOWN_PROBABILITY if likeliest in state.had else MIN_PROBABILITY
        is_decided = is_enough and likeliest != state.code and probabilities[likeliest] >= needed
    if is_decided:
        is_change = bool(state.code)
        state.code, state.since_ms = likeliest, state.stretch_ms
        state.had = tuple(dict.fromkeys((*state.had, likeliest)))
        _settle(state, end_ms)
        return is_change
    if is_enough:
        _settle(state, end_ms)
    else:
        state.is_contested = state.holds_back = True
    return False


def _settle(state: LanguageState, end_ms: int) -> None:
    """End a stretch; the next one begins within `RECHECK_MS`."""
    state.stretch_ms, state.is_contested, state.holds_back = end_ms + RECHECK_MS - DECISIVE_MS, False, False
