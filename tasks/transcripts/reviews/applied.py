"""The reviewed transcript: what the machine knows of the media, with a person's words and speakers."""

from __future__ import annotations

from tasks.transcripts.document import Segment, Transcript, WarningCode, Word, WordTiming
from tasks.transcripts.reviews.document import Review, ReviewSegment, ReviewWord

# What a person has settled once the whole programme is checked. The other warnings concern the media.
_SETTLED = frozenset(
    {
        WarningCode.NO_SPEECH,
        WarningCode.LOW_COVERAGE,
        WarningCode.SUSPECT_SEGMENTS,
        WarningCode.LANGUAGE_DOUBTFUL,
        WarningCode.SPEAKERS_DOUBTFUL,
        WarningCode.NO_SPEAKERS,
    }
)


def apply(machine: Transcript, review: Review) -> Transcript:
    """Return the transcript of which every format of the reviewed version is made.

    Words that the person kept keep the machine's confidence; those typed have none. Until the review is finished,
    segments with kept words of a suspect segment are suspect. Coverage stays the machine's.

    Raises:
        ValueError: the review does not fit the media.
    """
    kept = {(word.start_ms, word.end_ms): word for word in machine.words}
    doubtful = {
        (word.text, word.start_ms, word.end_ms)
        for segment in machine.segments
        if segment.suspect and not review.finished
        for word in segment.words
    }
    return Transcript(
        media=machine.media,
        provenance=machine.provenance,
        language=machine.language,
        language_passages=machine.language_passages,
        speakers=review.speakers,
        segments=tuple(_segment(segment, kept, doubtful) for segment in review.segments),
        suspect_passages=() if review.finished else machine.suspect_passages,
        coverage=machine.coverage,
        warnings=tuple(warning for warning in machine.warnings if not (review.finished and warning.code in _SETTLED)),
    )


def _segment(segment: ReviewSegment, kept: dict[tuple[int, int], Word], doubtful: set[tuple[str, int, int]]) -> Segment:
    return Segment(
        start_ms=segment.start_ms,
        end_ms=segment.end_ms,
        speaker=segment.speaker,
        suspect=not doubtful.isdisjoint(segment.words),
        words=tuple(_word(word, segment.speaker, kept) for word in segment.words),
    )


def _word(word: ReviewWord, speaker: str | None, kept: dict[tuple[int, int], Word]) -> Word:
    before = kept.get((word.start_ms, word.end_ms))
    if before and before.text == word.text:  # nearly all: a copy is six times as fast as another validation
        return before if before.speaker == speaker else before.model_copy(update={"speaker": speaker})
    return Word(
        text=word.text,
        start_ms=word.start_ms,
        end_ms=word.end_ms,
        confidence=None,
        speaker=speaker,
        timing=before.timing if before else WordTiming.INTERPOLATED,
    )
