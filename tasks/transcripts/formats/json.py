"""`.json`: the canonical transcript itself; `schema.json` describes it."""

from __future__ import annotations

from tasks.transcripts.formats.rendition import Rendition


def write(rendition: Rendition) -> bytes:
    return rendition.transcript.to_bytes()
