"""`.speakers.txt`: text with speakers and times, for reading.

Times are the programme's time code where the media have one, since that is what editors see; otherwise hours, minutes
and seconds from the start.
"""

from __future__ import annotations

from tasks.transcripts.formats.rendition import Paragraph, Rendition


def write(rendition: Rendition) -> bytes:
    paragraphs = [_block(rendition, paragraph) for paragraph in rendition.paragraphs]
    return "\n".join(paragraphs).encode()


def _block(rendition: Rendition, paragraph: Paragraph) -> str:
    name = rendition.speaker_names.get(paragraph.speaker or "", "Unknown speaker")
    mark = " (uncertain)" if paragraph.suspect else ""
    start, end = (_time(rendition, time_ms) for time_ms in (paragraph.start_ms, paragraph.end_ms))
    return f"[{start} - {end}] {name}{mark}\n{rendition.join(paragraph.words)}\n"


def _time(rendition: Rendition, time_ms: int) -> str:
    if rendition.transcript.media.start_timecode is not None:
        return str(rendition.clock.at(time_ms))
    minutes, seconds = divmod(time_ms // 1000, 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}"
