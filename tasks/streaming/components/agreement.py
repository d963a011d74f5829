"""Which words of a hypothesis that is made again and again may be believed.

Local agreement (Liu et al., "Low-Latency Sequence-to-Sequence Speech Recognition and Translation by Partial Hypothesis
Selection", 2020; Macháček et al., "Turning Whisper into Real-Time Transcription System", 2023): what two successive
hypotheses begin with alike is settled, and never changes.
"""

from __future__ import annotations

from collections.abc import Sequence

from tasks.streaming.runtime.messages import LiveWord

REPEAT_MS = 250  # a word that was committed may be heard so much later the next time


def fold(text: str) -> str:
    """A word without case and the marks around it: hypotheses agree on what is said before they do on commas."""
    return text.casefold().strip(".,?!;:…\"'«»„“”()-–— ")


def after(words: Sequence[LiveWord], last: LiveWord | None) -> tuple[LiveWord, ...]:
    """Those of a hypothesis that come after what is committed, of which `last` is the last word."""
    if last is None:
        return tuple(words)
    left = [word for word in words if word.start_ms + word.end_ms > 2 * last.end_ms]
    if left and fold(left[0].text) == fold(last.text) and left[0].start_ms < last.start_ms + REPEAT_MS:
        left = left[1:]
    return tuple(left)


def agreed(before: Sequence[LiveWord], now: Sequence[LiveWord], until_ms: int) -> int:
    """How many words of `now` are settled: they begin both hypotheses, and end by `until_ms`."""
    n = 0
    for old, new in zip(before, now, strict=False):
        if fold(old.text) != fold(new.text) or new.end_ms > until_ms:
            break
        n += 1
    return n


def in_sequence(words: Sequence[LiveWord], from_ms: int) -> tuple[LiveWord, ...]:
    """The words with times that do not run back, neither behind `from_ms` nor into each other."""
    ordered = []
    for word in words:
        start_ms = max(word.start_ms, from_ms)
        from_ms = max(word.end_ms, start_ms)
        ordered.append(word.model_copy(update={"start_ms": start_ms, "end_ms": from_ms}))
    return tuple(ordered)
