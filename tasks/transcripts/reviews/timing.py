"""Times for the words that a person typed: between their neighbours, where the machine heard the words they replace."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import accumulate, chain, groupby

from tasks.transcripts.document import Word
from tasks.transcripts.reviews.document import ReviewSegment, ReviewWord
from tasks.transcripts.reviews.draft import Draft, DraftRejected, DraftWord
from tasks.transcripts.spans import Span

# Added words without a trace in the machine's: as long as speech of 12 characters a second, space included.
MS_PER_CHARACTER = 80
# Two texts longer than this by that are not aligned word by word: difflib's time is their product.
MAX_ALIGNED = 4_000_000


@dataclass(frozen=True, slots=True)
class _Place:
    """A word of the draft, with the bounds of its segment. Without times, it is new."""

    segment: int
    text: str
    bounds: Span
    times: Span | None


def with_times(draft: Draft, edited: Sequence[Word], duration_ms: int) -> tuple[ReviewSegment, ...]:
    """Return the draft's segments with a time for each word; segments without words are left out.

    `edited`: the words of the transcript from which the draft was made. Where new words stand in a gap that some of
    these left, they take their places: equal words, and as many for as many, take their very times; otherwise the span
    is divided by length. New words in an empty gap follow the word before them at the speed of speech, or lead up to
    the one after them, and have no length where there is no room. New words alone in a segment fill it. All times are
    whole milliseconds that never decrease, inside their segment as far as its neighbours' words allow.

    Raises:
        DraftRejected: a word ends after the media.
    """
    places = list(_places(draft))
    late = next((place for place in places if place.times and place.times.end_ms > duration_ms), None)
    if late is not None:
        raise DraftRejected(f"word {late.text!r} ends after the media, at {duration_ms} ms")
    times = _all_times(places, edited, duration_ms)
    segments = []
    pairs = zip(places, times, strict=True)
    for number, group in groupby(pairs, key=lambda pair: pair[0].segment):
        words = tuple(ReviewWord(place.text, span.start_ms, span.end_ms) for place, span in group)
        bounds = (words[0].start_ms, words[-1].end_ms)
        segments.append(
            ReviewSegment(speaker=draft.segments[number].speaker, start_ms=bounds[0], end_ms=bounds[1], words=words)
        )
    return tuple(segments)


def _places(draft: Draft) -> Iterator[_Place]:
    for number, segment in enumerate(draft.segments):
        bounds = Span(segment.start_ms, segment.end_ms)
        for word in segment.words:
            if word.start_ms is not None and word.end_ms is not None and " " not in word.text:
                yield _Place(number, word.text, bounds, Span(word.start_ms, word.end_ms))
                continue
            texts = word.text.split()
            for text, times in zip(texts, _split(word, texts), strict=True):
                yield _Place(number, text, bounds, times)


def _split(word: DraftWord, texts: Sequence[str]) -> Sequence[Span | None]:
    """The times of the parts of a word that was sent with spaces."""
    if word.start_ms is None or word.end_ms is None:
        return [None] * len(texts)
    return divide(texts, Span(word.start_ms, word.end_ms))


def _all_times(places: Sequence[_Place], edited: Sequence[Word], duration_ms: int) -> list[Span]:
    starts_ms = [word.start_ms for word in edited]
    times: list[Span] = []
    for is_new, run in groupby(places, key=lambda place: place.times is None):
        words = list(run)
        if not is_new:
            times += [place.times for place in words if place.times]
            continue
        index = len(times)
        following = places[index + len(words)] if index + len(words) < len(places) else None
        after = following.times if following and following.times else Span(duration_ms, duration_ms)
        for segment, group in groupby(words, key=lambda place: place.segment):
            texts, bounds = zip(*((place.text, place.bounds) for place in group), strict=True)
            before = times[-1] if times else Span(0, 0)
            if after.start_ms < before.end_ms:  # the neighbours overlap, and so does what is between them
                times += [Span(after.start_ms, before.end_ms)] * len(texts)
                continue
            gap = _intersect(bounds[0], Span(before.end_ms, after.start_ms))
            first, end = (bisect_left(starts_ms, at_ms) for at_ms in (gap.start_ms, gap.end_ms))
            replaced = [word for word in edited[first:end] if word.end_ms <= gap.end_ms]
            follows = bool(times) and places[len(times) - 1].segment == segment
            precedes = following is not None and following.segment == segment
            if replaced:
                times += _in_place_of(texts, replaced, gap)
            elif follows or precedes:
                times += _beside(texts, gap, follows)
            else:
                times += divide(texts, gap)
    return _never_decreasing(times)


def _never_decreasing(times: Sequence[Span]) -> list[Span]:
    """The times with starts and ends in order: words that the machine heard at once may have been replaced."""
    ordered: list[Span] = []
    before = Span(0, 0)
    for span in times:
        if span.start_ms < before.start_ms or span.end_ms < before.end_ms:
            before = Span(max(span.start_ms, before.start_ms), max(span.end_ms, before.end_ms))
        else:
            before = span
        ordered.append(before)
    return ordered


def _intersect(bounds: Span, gap: Span) -> Span:
    """The part of the gap inside the bounds; where they do not meet, the point of the gap that is nearest to them."""
    start_ms = min(max(bounds.start_ms, gap.start_ms), gap.end_ms)
    return Span(start_ms, min(max(bounds.end_ms, start_ms), gap.end_ms))


def _beside(texts: Sequence[str], gap: Span, follows: bool) -> list[Span]:
    """Times in an empty gap: after the word before it, or up to the word after it, at the speed of speech."""
    length_ms = min(gap.duration_ms, MS_PER_CHARACTER * sum(len(text) + 1 for text in texts))
    start_ms = gap.start_ms if follows else gap.end_ms - length_ms
    return divide(texts, Span(start_ms, start_ms + length_ms))


def _in_place_of(texts: Sequence[str], replaced: Sequence[Word], gap: Span) -> list[Span]:
    """Times of new words in the place of others: aligned by equal words, and between these by number or length."""
    if len(texts) * len(replaced) > MAX_ALIGNED:
        return _over(texts, replaced)
    ours, theirs = [_folded(text) for text in texts], [_folded(word.text) for word in replaced]
    spans: list[Span] = []
    for tag, first, end, our_first, our_end in SequenceMatcher(None, theirs, ours).get_opcodes():
        new = texts[our_first:our_end]
        if tag == "insert":
            start_ms = replaced[first - 1].end_ms if first else gap.start_ms
            end_ms = replaced[first].start_ms if first < len(replaced) else gap.end_ms
            spans += _beside(new, Span(start_ms, max(start_ms, end_ms)), follows=first > 0)
        elif new:
            spans += _over(new, replaced[first:end])
    return spans


def _over(texts: Sequence[str], replaced: Sequence[Word]) -> list[Span]:
    """Times of new words over others: as many for as many, or divided by length."""
    if len(texts) == len(replaced):
        return [Span(word.start_ms, word.end_ms) for word in replaced]
    return divide(texts, Span(replaced[0].start_ms, replaced[-1].end_ms))


def _folded(text: str) -> str:
    """A word's letters, so that "House," equals "house"."""
    return "".join(filter(str.isalnum, text.casefold())) or text


def divide(texts: Sequence[str], span: Span) -> list[Span]:
    """Divide a span among words by their length, in whole milliseconds, without gaps."""
    total = sum(map(len, texts)) or 1
    ends = [span.start_ms + span.duration_ms * length // total for length in accumulate(map(len, texts))]
    return [Span(start_ms, end_ms) for start_ms, end_ms in zip(chain([span.start_ms], ends), ends, strict=False)]
