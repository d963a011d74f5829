"""The order in which voices that talk at once are read: each speaker's phrase stays together, by its start.

The document has words by time, so the words of two voices at once alternate, and nobody can read them. Where voices do
not overlap, the order is the document's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, groupby, pairwise

from tasks.transcripts.document import Segment, Transcript, Word
from tasks.transcripts.sentences import ends_sentence

MIN_SHARED_MS = 60  # words of chunks with shared context overlap by a frame or two of 20 ms
PHRASE_PAUSE_MS = 500


def speakers_of_words(transcript: Transcript) -> list[str | None]:
    """Return the speaker of each word; that of its segment where the word has none. Shape `(n_words,)`."""
    return [word.speaker or segment.speaker for segment in transcript.segments for word in segment.words]


def in_reading_order(transcript: Transcript) -> tuple[Segment, ...]:
    """Return the segments; where voices overlap, one for each phrase or part of it that is suspect or not, by start."""
    words, speakers = [*transcript.words], speakers_of_words(transcript)
    overlaps = overlapping_words(words, speakers)
    if not overlaps:
        return transcript.segments
    is_suspect = [segment.suspect for segment in transcript.segments for _ in segment.words]
    bounds = {0, *accumulate(len(segment.words) for segment in transcript.segments)}
    bounds |= {bound for overlap in overlaps for bound in (overlap.start, overlap.stop)}
    inside = {index for overlap in overlaps for index in overlap}
    groups = [[*range(start, stop)] for start, stop in pairwise(sorted(bounds)) if start not in inside]
    groups += [phrase for overlap in overlaps for phrase in _phrases(words, speakers, overlap)]
    # Sorted after the cut at suspect words: between the two parts of a phrase another voice may begin.
    parts = sorted([*part] for group in groups for _, part in groupby(group, is_suspect.__getitem__))
    return tuple(_segment(words, speakers, part, is_suspect[part[0]]) for part in parts)


def overlapping_words(words: Sequence[Word], speakers: Sequence[str | None]) -> list[range]:
    """Return the ranges of words in which phrases of different speakers overlap, sorted and apart.

    Words are sorted by start; `speakers`: one per word.
    """
    simultaneous = [*_simultaneous(words, speakers)]
    if not simultaneous:
        return []
    phrase_of = {index: phrase for phrase in _phrases(words, speakers, range(len(words))) for index in phrase}
    ranges: list[range] = []
    for first, second in simultaneous:
        both = (phrase_of[first], phrase_of[second])
        start, stop = min(phrase[0] for phrase in both), max(phrase[-1] for phrase in both) + 1
        while ranges and start < ranges[-1].stop:
            joined = ranges.pop()
            start, stop = min(start, joined.start), max(stop, joined.stop)
        ranges.append(range(start, stop))
    return ranges


def _simultaneous(words: Sequence[Word], speakers: Sequence[str | None]) -> Iterator[tuple[int, int]]:
    """Yield pairs of words of different speakers that overlap."""
    for first, word in enumerate(words):
        for second in range(first + 1, len(words)):
            if words[second].start_ms > word.end_ms - MIN_SHARED_MS:
                break
            shared_ms = min(word.end_ms, words[second].end_ms) - words[second].start_ms
            is_other = speakers[second] != speakers[first] and None not in (speakers[first], speakers[second])
            if is_other and shared_ms >= MIN_SHARED_MS:
                yield first, second


def _phrases(words: Sequence[Word], speakers: Sequence[str | None], indices: range) -> list[list[int]]:
    """Divide the words of each speaker at pauses and ends of sentences."""
    phrases: list[list[int]] = []
    open_phrases: dict[str | None, list[int]] = {}
    for index in indices:
        phrase, word = open_phrases.get(speakers[index]), words[index]
        if phrase is not None:
            before = words[phrase[-1]]
            is_pause = word.start_ms - before.end_ms >= PHRASE_PAUSE_MS
            if is_pause or ends_sentence(before.text, word.text):
                phrase = None
        if phrase is None:
            phrase = open_phrases[speakers[index]] = []
            phrases.append(phrase)
        phrase.append(index)
    return phrases


def _segment(words: Sequence[Word], speakers: Sequence[str | None], indices: Sequence[int], suspect: bool) -> Segment:
    return Segment(
        start_ms=words[indices[0]].start_ms,
        end_ms=words[indices[-1]].end_ms,
        speaker=next((speakers[index] for index in indices if speakers[index] is not None), None),
        suspect=suspect,
        words=tuple(words[index] for index in indices),
    )
