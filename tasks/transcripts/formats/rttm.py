"""`.rttm`: speaker turns (NIST, Rich Transcription evaluation plan), for scoring diarization.

A turn is a run of words of one speaker; a pause of half a second ends it. Words without a speaker are omitted. Times
are seconds from the start of the media.
"""

from __future__ import annotations

from collections.abc import Iterator

from tasks.transcripts.document import Transcript
from tasks.transcripts.formats.clock_time import seconds
from tasks.transcripts.formats.rendition import Rendition
from tasks.transcripts.spans import Turn

_PAUSE_MS = 500


def write(rendition: Rendition) -> bytes:
    token = rendition.transcript.media.token
    return "".join(
        f"SPEAKER {token} 1 {seconds(turn.start_ms)} {seconds(turn.end_ms - turn.start_ms)} "
        f"<NA> <NA> {turn.speaker} <NA> <NA>\n"
        for turn in turns(rendition.transcript)
    ).encode()


def turns(transcript: Transcript) -> Iterator[Turn]:
    """Yield the speaker turns of a transcript's words."""
    turn: Turn | None = None
    for word in transcript.words:
        if word.speaker is None:
            continue
        if turn is not None and turn.speaker == word.speaker and word.start_ms - turn.end_ms < _PAUSE_MS:
            turn = Turn(turn.start_ms, word.end_ms, turn.speaker)
            continue
        if turn is not None:
            yield turn
        turn = Turn(word.start_ms, word.end_ms, word.speaker)
    if turn is not None:
        yield turn
