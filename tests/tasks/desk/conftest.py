"""A prefix of transcripts with one published programme of two speakers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks import storage
from tasks.publishing.transcripts import publish_transcript
from tests.tasks.transcripts.builders import speak, transcript

KEY = "ab12" * 16
PROGRAMME = "2026-03-23_evening-news"


@pytest.fixture
def transcripts(tmp_path: Path) -> str:
    """URI of the transcripts."""
    prefix = storage.file_uri(tmp_path / "transcripts")
    words = [*speak("Good evening from their newsroom.", "S1"), *speak("It is a fine day.", "S2", start_ms=3000)]
    publish_transcript(transcript(words, duration_ms=10_000), PROGRAMME, KEY, prefix)
    return prefix
