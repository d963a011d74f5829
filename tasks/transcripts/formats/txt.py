"""`.txt`: plain text, one paragraph per line, separated by empty lines."""

from __future__ import annotations

from tasks.transcripts.formats.rendition import Rendition


def write(rendition: Rendition) -> bytes:
    paragraphs = [rendition.join(paragraph.words) + "\n" for paragraph in rendition.paragraphs]
    return "\n".join(paragraphs).encode()
