"""Local agreement: which words of successive partial hypotheses are stable enough to commit.

Liu et al., "Low-Latency Sequence-to-Sequence Speech Recognition and Translation by Partial Hypothesis Selection", 2020;
Macháček et al., "Turning Whisper into Real-Time Transcription System", 2023. The longest common prefix of two
successive hypotheses is committed and never changes.
"""

from __future__ import annotations

from collections.abc import Sequence

from tasks.streaming.runtime.messages import LiveWord

MAX_SHIFT_MS = 250  # a committed word may be recognised this much later in the next hypothesis


def normalise(text: str) -> str:
    """Fold case and strip punctuation: hypotheses agree on words earlier than on commas."""
    return text.casefold().strip(".,?!;:…\"'«»„“”()-–— ")


def select_uncommitted(hypothesis: Sequence[LiveWord], last: LiveWord | None) -> tuple[LiveWord, ...]:
    """Return the words of a hypothesis after `last`, the last committed word."""
    if last is None:
        return tuple(hypothesis)
    words = [word for word in hypothesis if word.start_ms + word.end_ms > 2 * last.end_ms]
    if words and normalise(words[0].text) == normalise(last.text) and words[0].start_ms < last.start_ms + MAX_SHIFT_MS:
        words = words[1:]
    return tuple(words)


def count_agreed(previous: Sequence[LiveWord], current: Sequence[LiveWord], until_ms: int) -> int:
    """Return how many words the common prefix of two hypotheses has, without words that end after `until_ms`."""
    n = 0
    for old, new in zip(previous, current, strict=False):
        if normalise(old.text) != normalise(new.text) or new.end_ms > until_ms:
            break
        n += 1
    return n


def without_overlaps(words: Sequence[LiveWord], from_ms: int) -> tuple[LiveWord, ...]:
    """Return the words with times moved so that none starts before `from_ms` or before its predecessor's end."""
    ordered = []
    for word in words:
        start_ms = max(word.start_ms, from_ms)
        from_ms = max(word.end_ms, start_ms)
        ordered.append(word.model_copy(update={"start_ms": start_ms, "end_ms": from_ms}))
    return tuple(ordered)
