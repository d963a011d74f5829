"""Drafts as an editor makes them of a programme."""

from __future__ import annotations

from tasks.desk.programmes import Programme
from tasks.transcripts.reviews.draft import BasedOn, Draft, DraftSegment, DraftSpeaker, DraftWord


def draft_of(programme: Programme, replacements: dict[str, str] | None = None, **changes: object) -> Draft:
    """The programme as it is shown, with words replaced by what a person typed; an empty string deletes one."""
    typed = replacements or {}
    fields = {
        "based_on": BasedOn(
            transcript_sha256=programme.machine_sha256,
            review=programme.review.number if programme.review else None,
        ),
        "speakers": tuple(DraftSpeaker(id=s.id, name=s.name) for s in programme.shown.speakers),
        "segments": tuple(
            DraftSegment(
                speaker=segment.speaker,
                start_ms=segment.start_ms,
                end_ms=segment.end_ms,
                words=tuple(
                    DraftWord(typed[w.text], None, None) if w.text in typed else DraftWord(w.text, w.start_ms, w.end_ms)
                    for w in segment.words
                    if typed.get(w.text, w.text)
                ),
            )
            for segment in programme.shown.segments
        ),
    }
    return Draft(**{**fields, **changes})
