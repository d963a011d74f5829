"""`.rttm`: speaker turns (NIST, Rich Transcription evaluation plan), for scoring diarization.

A turn is a run of words of one speaker; a pause of half a second ends it. Turns overlap where voices do. Words without
a speaker are omitted. Times are seconds from the start of the media.
"""

from __future__ import annotations

from collections.abc import Iterable

from tasks.transcripts.document import Segment, Word
from tasks.transcripts.formats.clock_time import seconds
from tasks.transcripts.formats.rendition import Rendition
from tasks.transcripts.spans import Turn

_PAUSE_MS = 500


def write(rendition: Rendition) -> bytes:
    token = rendition.transcript.media.token
    return "".join(
        f"SPEAKER {token} 1 {seconds(turn.start_ms)} {seconds(turn.end_ms - turn.start_ms)} "
        f"<NA> <NA> {turn.speaker} <NA> <NA>\n"
        for turn in turns(rendition.segments)
    ).encode()


def turns(segments: Iterable[Segment]) -> list[Turn]:
    """Return the speaker turns of segments in reading order, by start."""
    found: list[Turn] = []
    for segment in segments:
        for word in segment.words:
            if word.speaker is not None:
                _add(found, word, word.speaker)
    return sorted(found, key=lambda turn: turn.start_ms)


def _add(turns: list[Turn], word: Word, speaker: str) -> None:
    """Extend the speaker's last turn by a word, or begin a new one after a pause or another speaker's turn."""
    begun_since_ms = 0  # the latest start of the turns after the speaker's last
    for index in range(len(turns) - 1, -1, -1):
        turn = turns[index]
        if turn.speaker == speaker:
            if word.start_ms - turn.end_ms < _PAUSE_MS and (index == len(turns) - 1 or begun_since_ms < turn.end_ms):
                turns[index] = Turn(turn.start_ms, max(turn.end_ms, word.end_ms), turn.speaker)
                return
            break
        begun_since_ms = max(begun_since_ms, turn.start_ms)
    turns.append(Turn(word.start_ms, word.end_ms, speaker))
