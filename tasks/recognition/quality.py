"""Quality gate: flags a chunk whose text looks hallucinated, repetitive or incomplete.

The first two thresholds are Whisper's own (Radford et al., 2022, section 4.5); the others exceed the maxima of real
speech in the development folders. Other speech may exceed them: it is decoded again and marked, never dropped.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from tasks.recognition.chants import without_chants
from tasks.recognition.engine import RecognisedWord
from tasks.recognition.spoken_words import is_drawn_out, is_spoken

MAX_SHORT_PHRASE = 4  # words; speakers repeat these more often than whole sentences
MIN_LONG_PHRASE = 7  # words; crowds chant shorter slogans three times in a row
PUNCTUATION = ".,?!…:;-–—\"'“”„«»()[]"


class QualityFlag(StrEnum):
    """Why a chunk is suspect."""

    COMPRESSES = "compresses"  # the text repeats itself
    REPEATED_WORDS = "repeated_words"  # the same words in a row
    IMPROBABLE = "improbable"  # low probability by the model itself
    TOO_FAST = "too_fast"  # more characters than can be spoken in the time
    SPEECH_WITHOUT_WORDS = "speech_without_words"
    SPEECH_PASSED_OVER = "speech_passed_over"  # stretches of speech without words in a chunk that has words
    WORDS_WITHOUT_SPEECH = "words_without_speech"


INVENTED = frozenset(
    {QualityFlag.COMPRESSES, QualityFlag.REPEATED_WORDS, QualityFlag.TOO_FAST, QualityFlag.WORDS_WITHOUT_SPEECH}
)
"""Flags of text that nobody said, at least in part."""
MISSING = frozenset({QualityFlag.SPEECH_WITHOUT_WORDS, QualityFlag.SPEECH_PASSED_OVER})
"""Flags of speech that has no text."""


@dataclass(frozen=True)
class QualityGate:
    """Thresholds beyond which a chunk is flagged."""

    compression_ratio: float = 2.4
    mean_log_probability: float = -1.0
    characters_per_s: float = 30.0
    repeats: int = 5  # repetitions of one to four words, in a row
    phrase_repeats: int = 4  # of a longer phrase, in a row
    final_phrase_repeats: int = 3  # of a long phrase up to the chunk's end: decoders do not leave a loop
    silent_speech_s: float = 2.0  # speech without any word
    passed_over_s: float = 2.0  # speech far from any word, in all stretches of a chunk that has words
    speech_share: float = 0.1  # minimum share of the words' duration that is speech


def quality_flags(
    words: Sequence[RecognisedWord],
    duration_s: float,
    speech_s: float,
    passed_over_s: float = 0.0,
    gate: QualityGate | None = None,
) -> tuple[QualityFlag, ...]:
    """Return the flags of a chunk of `duration_s` with `speech_s` of speech.

    `passed_over_s` is the sum of the stretches of speech that are far from any word.
    """
    gate = gate or QualityGate()
    words = [word for word in words if is_spoken(word.text)]
    if not words:
        return (QualityFlag.SPEECH_WITHOUT_WORDS,) if speech_s >= gate.silent_speech_s else ()
    text = " ".join(word.text for word in words)
    doubtful = without_chants(words, 1000 * speech_s)
    spoken_s = sum(word.end_ms - word.start_ms for word in words) / 1000
    checks = {
        QualityFlag.COMPRESSES: compression_ratio(" ".join(word.text for word in doubtful)) > gate.compression_ratio,
        QualityFlag.REPEATED_WORDS: has_loop([word.text for word in doubtful], gate)
        or any(is_drawn_out(word.text) for word in words),
        QualityFlag.IMPROBABLE: mean_log_probability(words) < gate.mean_log_probability,
        QualityFlag.TOO_FAST: len(text) > gate.characters_per_s * max(duration_s, 0.1),
        QualityFlag.SPEECH_PASSED_OVER: passed_over_s >= gate.passed_over_s,
        QualityFlag.WORDS_WITHOUT_SPEECH: speech_s < gate.speech_share * spoken_s,
    }
    return tuple(flag for flag, failed in checks.items() if failed)


def compression_ratio(text: str) -> float:
    """Return the length ratio of the text to its zlib compression; below 2 for ordinary text of a chunk's length."""
    data = text.encode()
    return len(data) / len(zlib.compress(data)) if data else 0.0


def mean_log_probability(words: Sequence[RecognisedWord]) -> float:
    """Return the mean natural logarithm of the words' confidences."""
    return sum(math.log(max(word.confidence, 1e-9)) for word in words) / len(words)


def has_loop(words: Sequence[str], gate: QualityGate) -> bool:
    """Whether a phrase of any length repeats like a decoding loop, which usually lasts until the end of the chunk."""
    spoken = [_normalise(word) for word in words]
    if longest_repeat(words, MAX_SHORT_PHRASE) >= gate.repeats:
        return True
    for n in range(MAX_SHORT_PHRASE + 1, len(spoken) // gate.final_phrase_repeats + 1):
        until_end = _count_final_repeats(spoken, n)
        if until_end >= (gate.final_phrase_repeats if n >= MIN_LONG_PHRASE else gate.phrase_repeats):
            return True
    return longest_repeat(words, len(spoken) // gate.phrase_repeats, MAX_SHORT_PHRASE + 1) >= gate.phrase_repeats


def longest_repeat(words: Sequence[str], max_ngram: int = MAX_SHORT_PHRASE, min_ngram: int = 1) -> int:
    """Return the longest run of one n-gram of up to `max_ngram` words: "no no no" is 3, "so far so far" is 2.

    Numbers may repeat: a telephone number is not suspect.
    """
    spoken = [_normalise(word) for word in words]
    longest = 1 if spoken else 0
    for n in range(min_ngram, max_ngram + 1):
        same = 0  # consecutive words that equal the one n before them
        for index in range(n, len(spoken)):
            same = same + 1 if spoken[index] == spoken[index - n] else 0
            if 1 + same // n > longest and not _are_numbers(spoken[index - n + 1 : index + 1]):
                longest = 1 + same // n
    return longest


def _count_final_repeats(spoken: Sequence[str], n: int) -> int:
    """Return how often the last n-gram occurs in a row; the last repetition may be incomplete."""
    same = 0
    while same < len(spoken) - n and spoken[-1 - same] == spoken[-1 - same - n]:
        same += 1
    return 1 if _are_numbers(spoken[-n:]) else 1 + same // n


def _normalise(word: str) -> str:
    """Return the word for comparison, without case and punctuation, unless it consists of punctuation."""
    return word.lower().strip(PUNCTUATION) or word


def _are_numbers(words: Sequence[str]) -> bool:
    return all(word.isdigit() for word in words)
