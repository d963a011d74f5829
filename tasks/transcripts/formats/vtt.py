"""`.vtt`: WebVTT (W3C), for the web. Times count from the start of the media: the format has no time code.

Each line is in a voice span with its speaker's name. Ampersands and angle brackets are escaped, which also keeps "-->"
out of the text.
"""

from __future__ import annotations

from html import escape

from tasks.transcripts.cues.cutting import Cue
from tasks.transcripts.formats.clock_time import hours_to_milliseconds
from tasks.transcripts.formats.rendition import Rendition


def write(rendition: Rendition) -> bytes:
    cues = [
        f"{number}\n{hours_to_milliseconds(cue.start_ms)} --> {hours_to_milliseconds(cue.end_ms)}\n"
        f"{_payload(rendition, cue)}\n"
        for number, cue in enumerate(rendition.cues, start=1)
    ]
    return "\n".join(["WEBVTT\n", *cues]).encode()


def _payload(rendition: Rendition, cue: Cue) -> str:
    lines = [escape(text, quote=False) for text in cue.dashed_lines()]
    if not cue.is_dialogue:
        return _voice_span(rendition, cue.lines[0].speaker, "\n".join(lines))
    return "\n".join(_voice_span(rendition, line.speaker, text) for line, text in zip(cue.lines, lines, strict=True))


def _voice_span(rendition: Rendition, speaker: str | None, text: str) -> str:
    if speaker is None:
        return text
    return f"<v {escape(rendition.speaker_names[speaker], quote=False)}>{text}</v>"
