"""Scores of transcripts: word errors, words where nobody speaks, and speech without words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from benchmarks.support.human_speech.programmes import Composition
from benchmarks.support.human_speech.systems import Hypothesis
from tasks.contract import Frozen
from tasks.transcripts.coverage import covered_ms
from tasks.transcripts.error_counts import ErrorCounts, total
from tasks.transcripts.spans import Span
from training.scoring.english import normalise_english
from training.scoring.errors import word_errors

FAR_FROM_SPEECH_MS = 500  # word times are not exact
_LETTER = re.compile(r"\w")
_IDEOGRAPH = re.compile(r"([\u3400-\u9fff])")


class Score(Frozen):
    """One programme's score, or the sum of several."""

    errors: ErrorCounts = ErrorCounts()
    invented: int = 0
    """Words far from all speech."""
    speech_s: float = 0.0
    uncovered_s: float = 0.0
    """Speech farther than a second from every word."""


def score(content: Composition, hypothesis: Hypothesis) -> Score:
    count = word_errors if content.is_ordered else unordered_word_errors
    speech = _merged([span for utterance in content.utterances for span in utterance.speech])
    words = sorted((word.start_ms, max(word.start_ms, word.end_ms)) for word in hypothesis.words)
    spans = [Span(start_ms=start_ms, end_ms=end_ms) for start_ms, end_ms in words]
    speech_ms = sum(span.duration_ms for span in speech)
    return Score(
        errors=count(comparable(content.text), comparable(hypothesis.text)),
        invented=sum(
            _is_far(word.start_ms, word.end_ms, speech) for word in hypothesis.words if _LETTER.search(word.text)
        ),
        speech_s=speech_ms / 1000,
        uncovered_s=(speech_ms - covered_ms(speech, spans)) / 1000,
    )


def comparable(text: str) -> str:
    """The text in the form that is scored: English, where ideographs are words of their own."""
    return " ".join(_IDEOGRAPH.sub(r" \1 ", normalise_english(text)).split())


def unordered_word_errors(reference: str, hypothesis: str) -> ErrorCounts:
    """Count word errors of the texts as bags of words: a lower bound, for speech of which two are heard at once."""
    expected, heard = Counter(reference.split()), Counter(hypothesis.split())
    missing, surplus = (expected - heard).total(), (heard - expected).total()
    substitutions = min(missing, surplus)
    return ErrorCounts(
        substitutions=substitutions,
        deletions=missing - substitutions,
        insertions=surplus - substitutions,
        length=expected.total(),
    )


def sum_of(scores: Sequence[Score]) -> Score:
    return Score(
        errors=total(s.errors for s in scores),
        invented=sum(s.invented for s in scores),
        speech_s=sum(s.speech_s for s in scores),
        uncovered_s=sum(s.uncovered_s for s in scores),
    )


def _is_far(start_ms: int, end_ms: int, speech: Sequence[Span]) -> bool:
    return all(
        end_ms < span.start_ms - FAR_FROM_SPEECH_MS or start_ms > span.end_ms + FAR_FROM_SPEECH_MS for span in speech
    )


def _merged(spans: Sequence[Span]) -> list[Span]:
    """Spans in order, joined where they overlap."""
    merged: list[Span] = []
    for span in sorted(spans, key=lambda s: (s.start_ms, s.end_ms)):
        if merged and span.start_ms <= merged[-1].end_ms:
            merged[-1] = Span(start_ms=merged[-1].start_ms, end_ms=max(span.end_ms, merged[-1].end_ms))
        else:
            merged.append(span)
    return merged
