"""Words and speaker turns become words with speakers, and words become segments."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tasks.transcripts.document import Segment, Speaker, Word
from tasks.transcripts.sentences import ends_sentence
from tasks.transcripts.spans import Span, Turn

# A second speaker with this share of the best one's overlap makes a word doubtful.
_DOUBTFUL_SHARE = 0.8
# A word in no turn, between two speakers whose distances differ by less, is doubtful too.
_DOUBTFUL_DISTANCE_MS = 100
# Words closer than this are said in one breath: a single word of another speaker between them is a mistake
# of the diarization's boundaries rather than an interjection.
_BREATH_MS = 300


@dataclass(frozen=True, slots=True)
class SegmentRules:
    """Where segments end: at a new speaker, at a pause, at a sentence's end once there is enough, and at the
    best place before they grow too long."""

    pause_ms: int = 1_000
    enough_ms: int = 2_000
    longest_ms: int = 20_000


def in_order(words: Sequence[Word], duration_ms: int) -> tuple[Word, ...]:
    """The words in their given order with times inside the media that never run backwards.

    Decoders place a word's end a frame past the media, and chunks that share context overlap by a few. A word
    that had to be moved is shortened rather than its neighbours shifted.
    """
    ordered, start_ms, end_ms = [], 0, 0
    for word in words:
        start_ms = min(max(word.start_ms, start_ms), duration_ms)
        end_ms = min(max(word.end_ms, start_ms, end_ms), duration_ms)
        moved = (start_ms, end_ms) != (word.start_ms, word.end_ms)
        ordered.append(word.model_copy(update={"start_ms": start_ms, "end_ms": end_ms}) if moved else word)
    return tuple(ordered)


def with_speakers(words: Sequence[Word], turns: Sequence[Turn], nearest_ms: int = 500) -> tuple[Word, ...]:
    """Each word gets the speaker whose turns overlap it most; outside all turns, the nearest within
    `nearest_ms`; and none where two speakers are about as likely. Then single-word flips are smoothed.

    Words are in order. Linear in words and turns.
    """
    turns = sorted(turns, key=lambda turn: (turn.start_ms, turn.end_ms))
    speakers: list[str | None] = []
    first = 0
    for word in words:
        # Turns wholly before this word stay behind it; the last of them may still be the nearest.
        while first < len(turns) and turns[first].end_ms <= word.start_ms:
            first += 1
        overlap_ms = _overlaps(word, turns, first)
        speakers.append(_largest(overlap_ms) if overlap_ms else _nearest(word, turns, first, nearest_ms))
    return tuple(
        word if word.speaker == speaker else word.model_copy(update={"speaker": speaker})
        for word, speaker in zip(words, _smoothed(words, speakers), strict=True)
    )


def _overlaps(word: Word, turns: Sequence[Turn], first: int) -> dict[str, int]:
    """Milliseconds that each speaker shares with the word; a word of no length counts as one millisecond."""
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


def _largest(overlap_ms: dict[str, int]) -> str | None:
    ranked = sorted(overlap_ms, key=lambda speaker: (-overlap_ms[speaker], speaker))
    doubtful = len(ranked) > 1 and overlap_ms[ranked[1]] >= _DOUBTFUL_SHARE * overlap_ms[ranked[0]]
    return None if doubtful else ranked[0]


def _nearest(word: Word, turns: Sequence[Turn], first: int, nearest_ms: int) -> str | None:
    candidates = []
    if first > 0:
        candidates.append((word.start_ms - turns[first - 1].end_ms, turns[first - 1].speaker))
    if first < len(turns):
        candidates.append((max(0, turns[first].start_ms - word.end_ms), turns[first].speaker))
    candidates = sorted(candidate for candidate in candidates if candidate[0] <= nearest_ms)
    if len(candidates) == 2 and candidates[0][1] != candidates[1][1]:
        (near_ms, _), (far_ms, _) = candidates
        if far_ms - near_ms < _DOUBTFUL_DISTANCE_MS:
            return None
    return candidates[0][1] if candidates else None


def _smoothed(words: Sequence[Word], speakers: Sequence[str | None]) -> list[str | None]:
    """A single word of another speaker, or of none, said in one breath with one speaker's words on both sides
    and neither opening nor closing a sentence, is that speaker's."""
    smoothed = list(speakers)
    for index in range(1, len(words) - 1):
        before, word, after = words[index - 1], words[index], words[index + 1]
        same_sides = smoothed[index - 1] is not None and smoothed[index - 1] == speakers[index + 1]
        one_breath = (
            word.start_ms - before.end_ms < _BREATH_MS
            and after.start_ms - word.end_ms < _BREATH_MS
            and not ends_sentence(before.text, word.text)
            and not ends_sentence(word.text, after.text)
        )
        if same_sides and one_breath:
            smoothed[index] = smoothed[index - 1]
    return smoothed


def speakers_in(words: Sequence[Word]) -> tuple[Speaker, ...]:
    """In the order in which they first speak."""
    return tuple(Speaker(id=speaker) for speaker in dict.fromkeys(word.speaker for word in words) if speaker)


def into_segments(
    words: Sequence[Word], suspect: Sequence[Span] = (), rules: SegmentRules | None = None
) -> tuple[Segment, ...]:
    """The words, in order, cut into segments. Words whose middle lies in a suspect span make suspect ones."""
    rules = rules or SegmentRules()
    marks = _marked(words, suspect)
    segments: list[Segment] = []
    first, speaker = 0, None
    for index, word in enumerate(words):
        if index > first:
            before = words[index - 1]
            changes = word.speaker is not None and speaker is not None and word.speaker != speaker
            pauses = word.start_ms - before.end_ms >= rules.pause_ms
            enough = before.end_ms - words[first].start_ms >= rules.enough_ms
            ended = enough and ends_sentence(before.text, word.text)
            if changes or pauses or ended or marks[index] != marks[index - 1]:
                segments += _short_enough(words[first:index], speaker, marks[first], rules.longest_ms)
                first, speaker = index, None
        speaker = speaker or word.speaker
    if words:
        segments += _short_enough(words[first:], speaker, marks[first], rules.longest_ms)
    return tuple(segments)


def _marked(words: Sequence[Word], spans: Sequence[Span]) -> list[bool]:
    spans = sorted(spans, key=lambda span: span.start_ms)
    marks, next_span, reaches_ms = [], 0, -1
    for word in words:
        middle_ms = (word.start_ms + word.end_ms) // 2
        while next_span < len(spans) and spans[next_span].start_ms <= middle_ms:
            reaches_ms = max(reaches_ms, spans[next_span].end_ms)
            next_span += 1
        marks.append(middle_ms < reaches_ms)
    return marks


def _short_enough(words: Sequence[Word], speaker: str | None, suspect: bool, longest_ms: int) -> Iterator[Segment]:
    """One segment, or several, each cut at the longest pause in the second half of what it may hold."""
    while words:
        limit_ms = words[0].start_ms + longest_ms
        n_fitting = next((index for index, word in enumerate(words) if word.end_ms > limit_ms), len(words))
        cut = max(1, n_fitting)
        if 1 < n_fitting < len(words):
            half_ms = limit_ms - longest_ms // 2
            candidates = [index for index in range(1, n_fitting + 1) if words[index - 1].end_ms >= half_ms]
            cut = max(
                candidates or [n_fitting],
                key=lambda index: (words[index].start_ms - words[index - 1].end_ms, index),
            )
        part, words = words[:cut], words[cut:]
        start_ms, end_ms = part[0].start_ms, part[-1].end_ms
        yield Segment(start_ms=start_ms, end_ms=end_ms, speaker=speaker, suspect=suspect, words=tuple(part))
