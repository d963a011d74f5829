"""`.json`: the canonical transcript, described by `schema.json`."""

from __future__ import annotations

from tasks.transcripts.formats.rendition import Rendition


def write(rendition: Rendition) -> bytes:
    return rendition.transcript.to_bytes()
