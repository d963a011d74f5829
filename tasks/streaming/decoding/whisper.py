"""Whisper: the words after the committed ones are decoded, greedily until an utterance ends, then by beam search.

A hypothesis that loops, or is short and improbable, is not trusted: in the middle of an utterance nothing is committed
from it. At its end, such audio, improbable text and speech that the decoder passed over are decoded alone, without
prompt and repeated 4-grams.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from tasks.audio import SAMPLES_PER_MS
from tasks.features.config import FeaturesConfig
from tasks.recognition.engine import RecognisedWord
from tasks.recognition.quality import QualityFlag, QualityGate, has_loop, quality_flags
from tasks.recognition.whisper import BEAM_SIZE, ONLY_LANGUAGE
from tasks.recognition.whisper_windows import KnownWords, WhisperWindows
from tasks.streaming.decoding.decoder import Pace, Window, on_timeline
from tasks.streaming.runtime.messages import LiveWord

if TYPE_CHECKING:
    from tasks.recognition.whisper import WhisperEngine

# Known words cost as much as new ones: CTranslate2 decodes a prefix token by token. With words before a pause as its
# prefix, Whisper base often hears the end of the text after them, pass after pass.
PACE = Pace(
    step_ms=500,
    max_step_ms=4_000,
    hold_back_ms=400,
    n_held_words=1,
    max_pending_ms=1_800,
    max_window_ms=9_000,
    context_ms=1_500,
    max_context_ms=2_500,
    pause_context_ms=0,
    max_joined_pause_ms=1_500,
)
MAX_PROMPT_WORDS = 40
MAX_PROMPT_AGE_MS = 30_000
LOOP_CONTEXT_WORDS = 30  # committed words before a hypothesis in which a loop may have begun
MIN_MISSED_MS = 1_800  # of audio without words at the end of an utterance, with its padding, to be decoded alone
LOOPS = {QualityFlag.COMPRESSES, QualityFlag.REPEATED_WORDS, QualityFlag.TOO_FAST}
DOUBTS = LOOPS | {QualityFlag.IMPROBABLE}
# So many improbable words may be right in the middle of an utterance, and agreement decides. Without them, 95 % of the
# words of 99 s of audiobooks were committed within 2.8 s instead of 2.2, with as many errors.
MIN_IMPROBABLE_WORDS = 4


class WhisperDecoder:
    """Decodes windows with a Whisper engine."""

    pace = PACE

    def __init__(self, engine: WhisperEngine, features: FeaturesConfig) -> None:
        """`features`: the model's, without window and range."""
        self._windows = WhisperWindows(engine)
        self.name, self.features = engine.name, features

    @property
    def detects_languages(self) -> bool:
        return self._windows.is_multilingual

    def detect_language(self, window: Window, from_ms: int) -> dict[str, float]:
        """See `WindowDecoder.detect_language`."""
        return self._windows.detect_language(window.frames, from_ms - window.start_ms, _beam_size(window))

    def decode(self, window: Window) -> tuple[LiveWord, ...]:
        """See `WindowDecoder.decode`."""
        known = known_words(window)
        texts = [word.text for word in window.committed]
        new_from_ms = max(window.start_ms + known.prefix_end_ms, window.spoken_from_ms)
        found = self._windows.decode(window.frames, known, _beam_size(window))
        words = on_timeline(found, window.start_ms)
        doubts = DOUBTS if window.is_final or len(found) < MIN_IMPROBABLE_WORDS else LOOPS
        doubtful = is_doubtful(found, window.end_ms - new_from_ms, texts, doubts)
        if not window.is_final:
            return () if doubtful else words
        missed_from_ms = words[-1].end_ms if words and not doubtful else new_from_ms
        if doubtful or window.end_ms - missed_from_ms >= MIN_MISSED_MS:
            alone = self._decode_alone(window, missed_from_ms, known.language)
            if alone and not is_doubtful(alone, window.end_ms - missed_from_ms, texts):
                return (() if doubtful else words) + on_timeline(alone, missed_from_ms)
        # Improbable words are captions with a low confidence; repetitions are none.
        return words[: count_before_loop([word.text for word in words], texts)]

    def _decode_alone(self, window: Window, from_ms: int, language: str) -> tuple[RecognisedWord, ...]:
        n_before = max(0, from_ms - window.start_ms) * SAMPLES_PER_MS // self.features.hop_samples
        known = KnownWords(language=language)
        return self._windows.decode(window.frames[n_before:], known, BEAM_SIZE, forbids_loops=True)


def _beam_size(window: Window) -> int:
    return BEAM_SIZE if window.is_final else 1


def known_words(window: Window) -> KnownWords:
    """Divide the committed words into the decoder's prompt and its prefix."""
    before = [word for word in window.committed if word.start_ms + word.end_ms < 2 * window.start_ms]
    inside = window.committed[len(before) :]
    recent = [word.text for word in before if word.end_ms >= window.start_ms - MAX_PROMPT_AGE_MS]
    return KnownWords(
        prompt=tuple(recent[-MAX_PROMPT_WORDS:]),
        prefix=tuple(word.text for word in inside),
        prefix_end_ms=max(0, inside[-1].end_ms - window.start_ms) if inside else 0,
        language=window.language or ONLY_LANGUAGE,
    )


def is_doubtful(
    words: Sequence[RecognisedWord],
    duration_ms: int,
    committed: Sequence[str],
    doubts: Collection[QualityFlag] = DOUBTS,
) -> bool:
    """Whether a hypothesis for `duration_ms` of new audio loops, or is doubtful otherwise."""
    flags = quality_flags(words, duration_ms / 1000, duration_ms / 1000)
    return bool(set(doubts).intersection(flags)) or loops([word.text for word in words], committed)


def loops(words: Sequence[str], committed: Sequence[str]) -> bool:
    """Whether the words repeat themselves, or go on with a repetition that the committed words have begun."""
    before = committed[-LOOP_CONTEXT_WORDS:]
    return has_loop([*before, *words], QualityGate()) and not (before and has_loop(before, QualityGate()))


def count_before_loop(words: Sequence[str], committed: Sequence[str]) -> int:
    """Return how many of the words precede the repetition that makes them a loop: all, if nothing does."""
    return next((n - 1 for n in range(1, len(words) + 1) if loops(words[:n], committed)), len(words))
