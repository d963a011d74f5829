"""Is a chunk's recognition to be believed? Signs of text that was invented, repeated or missed.

The first two bounds are Whisper's own (Radford et al., 2022, section 4.5); the rest were set above what the real speech
of the development folders showed. Other speech may pass them: it is then decoded again and marked, not thrown away.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from tasks.recognition.engine import Word


class Sign(StrEnum):
    """Why a chunk is doubted."""

    COMPRESSES = "compresses"  # the text repeats itself
    REPEATED_WORDS = "repeated_words"  # the same few words again and again
    IMPROBABLE = "improbable"  # the model itself was unsure
    TOO_FAST = "too_fast"  # more characters than anyone says in the time
    SPEECH_WITHOUT_WORDS = "speech_without_words"
    SPEECH_PASSED_OVER = "speech_passed_over"  # words, and a stretch of speech between them that has none
    WORDS_WITHOUT_SPEECH = "words_without_speech"


@dataclass(frozen=True)
class Gate:
    """Bounds beyond which a chunk is doubted."""

    compression_ratio: float = 2.4
    mean_log_probability: float = -1.0
    characters_per_s: float = 30.0
    repeats: int = 5  # of one to four words, one after the other
    silent_speech_s: float = 2.0  # this much speech must have a word
    passed_over_s: float = 4.0  # so much in a row, where there are words
    speech_share: float = 0.1  # of the time of the words


def doubts(
    words: Sequence[Word], duration_s: float, speech_s: float, passed_over_s: float = 0.0, gate: Gate | None = None
) -> tuple[Sign, ...]:
    """The signs that a chunk of `duration_s` with `speech_s` of speech shows.

    `passed_over_s` is the longest stretch of speech that is far from any word.
    """
    gate = gate or Gate()
    if not words:
        return (Sign.SPEECH_WITHOUT_WORDS,) if speech_s >= gate.silent_speech_s else ()
    text = " ".join(word.text for word in words)
    spoken_s = sum(word.end_ms - word.start_ms for word in words) / 1000
    signs = {
        Sign.COMPRESSES: compression_ratio(text) > gate.compression_ratio,
        Sign.REPEATED_WORDS: longest_repeat([word.text for word in words]) >= gate.repeats,
        Sign.IMPROBABLE: mean_log_probability(words) < gate.mean_log_probability,
        Sign.TOO_FAST: len(text) > gate.characters_per_s * max(duration_s, 0.1),
        Sign.SPEECH_PASSED_OVER: passed_over_s >= gate.passed_over_s,
        Sign.WORDS_WITHOUT_SPEECH: speech_s < gate.speech_share * spoken_s,
    }
    return tuple(sign for sign, shown in signs.items() if shown)


def compression_ratio(text: str) -> float:
    """How much shorter zlib makes the text; of ordinary text in the length of a chunk, less than 2."""
    data = text.encode()
    return len(data) / len(zlib.compress(data)) if data else 0.0


def mean_log_probability(words: Sequence[Word]) -> float:
    """Mean natural logarithm of the words' confidences."""
    return sum(math.log(max(word.confidence, 1e-9)) for word in words) / len(words)


def longest_repeat(words: Sequence[str], longest_ngram: int = 4) -> int:
    """How often one to `longest_ngram` words stand in a row at most: "no no no" is 3, "so far so far" is 2.

    Figures may repeat: a telephone number is no sign of doubt.
    """
    spoken = [word.lower().strip(".,?!") for word in words]
    most = 1 if spoken else 0
    for n in range(1, longest_ngram + 1):
        same = 0  # words in a row that are the one n before them
        for index in range(n, len(spoken)):
            same = same + 1 if spoken[index] == spoken[index - n] and not spoken[index].isdigit() else 0
            most = max(most, 1 + same // n)
    return most
