"""Assign speakers to words from diarization turns, and group words into segments."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tasks.transcripts.document import Segment, Speaker, Word
from tasks.transcripts.sentences import ends_sentence
from tasks.transcripts.spans import Span, Turn
from tasks.transcripts.speaker_changes import settle

# A word is ambiguous if its overlap with the second speaker is at least this share of its overlap with the first,
_AMBIGUOUS_SHARE = 0.8
# or if it lies outside all turns and its distances to two speakers differ by less than this.
_AMBIGUOUS_DISTANCE_MS = 100


@dataclass(frozen=True, slots=True)
class SegmentRules:
    """Where segments end: at a change of speaker, at a pause, at the end of a sentence after the minimum duration,
    and at the best pause before the maximum."""

    min_pause_ms: int = 1_000
    min_duration_ms: int = 2_000
    max_duration_ms: int = 20_000


def with_monotonic_times(words: Sequence[Word], duration_ms: int) -> tuple[Word, ...]:
    """Return the words in the given order, their times clipped to the media and non-decreasing.

    Decoders place a word's end up to a frame past the media, and chunks with shared context overlap by a few frames.
    Words are shortened; their neighbours are not shifted.
    """
    ordered, start_ms, end_ms = [], 0, 0
    for word in words:
        start_ms = min(max(word.start_ms, start_ms), duration_ms)
        end_ms = min(max(word.end_ms, start_ms, end_ms), duration_ms)
        is_changed = (start_ms, end_ms) != (word.start_ms, word.end_ms)
        ordered.append(word.model_copy(update={"start_ms": start_ms, "end_ms": end_ms}) if is_changed else word)
    return tuple(ordered)


def with_speakers(words: Sequence[Word], turns: Sequence[Turn], nearest_ms: int = 500) -> tuple[Word, ...]:
    """Assign to each word the speaker whose turns overlap it most, or outside all turns the nearest within
    `nearest_ms`; none if two speakers are about equally likely. Doubtful changes inside a sentence are then settled.

    Words are sorted. Linear in words and turns.
    """
    turns = sorted(turns, key=lambda turn: (turn.start_ms, turn.end_ms))
    speakers: list[str | None] = []
    first = 0
    for word in words:
        # Turns before `first` end before this word; the last of them may still be the nearest.
        while first < len(turns) and turns[first].end_ms <= word.start_ms:
            first += 1
        overlap_ms = _overlap_by_speaker(word, turns, first)
        speakers.append(_largest_overlap(overlap_ms) if overlap_ms else _nearest(word, turns, first, nearest_ms))
    return tuple(
        word if word.speaker == speaker else word.model_copy(update={"speaker": speaker})
        for word, speaker in zip(words, settle(words, speakers), strict=True)
    )


def _overlap_by_speaker(word: Word, turns: Sequence[Turn], first: int) -> dict[str, int]:
    """Return each speaker's overlap with the word in milliseconds. A word of no length counts as one millisecond."""
    end_ms = max(word.end_ms, word.start_ms + 1)
    overlap_ms: dict[str, int] = defaultdict(int)
    for index in range(first, len(turns)):
        turn = turns[index]
        if turn.start_ms >= end_ms:
            break
        shared_ms = min(turn.end_ms, end_ms) - max(turn.start_ms, word.start_ms)
        if shared_ms > 0:
            overlap_ms[turn.speaker] += shared_ms
    return overlap_ms


def _largest_overlap(overlap_ms: dict[str, int]) -> str | None:
    ranked = sorted(overlap_ms, key=lambda speaker: (-overlap_ms[speaker], speaker))
    is_ambiguous = len(ranked) > 1 and overlap_ms[ranked[1]] >= _AMBIGUOUS_SHARE * overlap_ms[ranked[0]]
    return None if is_ambiguous else ranked[0]


def _nearest(word: Word, turns: Sequence[Turn], first: int, nearest_ms: int) -> str | None:
    candidates = []
    if first > 0:
        candidates.append((word.start_ms - turns[first - 1].end_ms, turns[first - 1].speaker))
    if first < len(turns):
        candidates.append((max(0, turns[first].start_ms - word.end_ms), turns[first].speaker))
    candidates = sorted(candidate for candidate in candidates if candidate[0] <= nearest_ms)
    if len(candidates) == 2 and candidates[0][1] != candidates[1][1]:
        (near_ms, _), (far_ms, _) = candidates
        if far_ms - near_ms < _AMBIGUOUS_DISTANCE_MS:
            return None
    return candidates[0][1] if candidates else None


def speakers_in(words: Sequence[Word]) -> tuple[Speaker, ...]:
    """Return the speakers in order of their first word."""
    return tuple(Speaker(id=speaker) for speaker in dict.fromkeys(word.speaker for word in words) if speaker)


def into_segments(
    words: Sequence[Word], suspect: Sequence[Span] = (), rules: SegmentRules | None = None
) -> tuple[Segment, ...]:
    """Group sorted words into segments. Words whose middle lies in a suspect span form suspect segments."""
    rules = rules or SegmentRules()
    is_suspect = _are_within(words, suspect)
    segments: list[Segment] = []
    first, speaker = 0, None
    for index, word in enumerate(words):
        if index > first:
            before = words[index - 1]
            is_change = word.speaker is not None and speaker is not None and word.speaker != speaker
            is_pause = word.start_ms - before.end_ms >= rules.min_pause_ms
            is_long = before.end_ms - words[first].start_ms >= rules.min_duration_ms
            ends = is_long and ends_sentence(before.text, word.text)
            if is_change or is_pause or ends or is_suspect[index] != is_suspect[index - 1]:
                segments += _split_long(words[first:index], speaker, is_suspect[first], rules.max_duration_ms)
                first, speaker = index, None
        speaker = speaker or word.speaker
    if words:
        segments += _split_long(words[first:], speaker, is_suspect[first], rules.max_duration_ms)
    return tuple(segments)


def _are_within(words: Sequence[Word], spans: Sequence[Span]) -> list[bool]:
    """For each word, whether its middle lies in one of the spans."""
    spans = sorted(spans, key=lambda span: span.start_ms)
    within, next_span, reaches_ms = [], 0, -1
    for word in words:
        middle_ms = (word.start_ms + word.end_ms) // 2
        while next_span < len(spans) and spans[next_span].start_ms <= middle_ms:
            reaches_ms = max(reaches_ms, spans[next_span].end_ms)
            next_span += 1
        within.append(middle_ms < reaches_ms)
    return within


def _split_long(words: Sequence[Word], speaker: str | None, suspect: bool, max_ms: int) -> Iterator[Segment]:
    """Yield one segment, or several, cut at the longest pause in the second half of the maximum duration."""
    while words:
        limit_ms = words[0].start_ms + max_ms
        n_fitting = next((index for index, word in enumerate(words) if word.end_ms > limit_ms), len(words))
        cut = max(1, n_fitting)
        if 1 < n_fitting < len(words):
            half_ms = limit_ms - max_ms // 2
            candidates = [index for index in range(1, n_fitting + 1) if words[index - 1].end_ms >= half_ms]
            cut = max(
                candidates or [n_fitting],
                key=lambda index: (words[index].start_ms - words[index - 1].end_ms, index),
            )
        part, words = words[:cut], words[cut:]
        start_ms, end_ms = part[0].start_ms, part[-1].end_ms
        yield Segment(start_ms=start_ms, end_ms=end_ms, speaker=speaker, suspect=suspect, words=tuple(part))
