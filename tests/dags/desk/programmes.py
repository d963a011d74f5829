"""Programmes for the desk's pages, published as a night does, with sound."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tasks import storage
from tasks.audio import SAMPLE_RATE_HZ
from tasks.media.listening import write_listening_copy
from tasks.publishing.sound import Sound
from tasks.publishing.transcripts import publish_transcript
from tasks.transcripts.document import (
    Coverage,
    Media,
    Provenance,
    Segment,
    Speaker,
    SuspectPassage,
    Transcript,
    Word,
    WordTiming,
)

KEY = "ab12" * 16
PLAIN, HOSTILE = "2026-03-23_evening-news", "<img src=x onerror=alert(1)> & 100 %"
WORD_MS, PAUSE_MS, MUSIC_MS = 400, 1_000, 12_000

Line = tuple[str, str]
"""A speaker and a line. `?` after a word makes it doubtful; a line of `♪` is music."""
NEWS: Sequence[Line] = (
    ("S1", "Good evening from our newsrum? tonight."),
    ("S2", "The bridge will open on Friday."),
    ("S1", "♪"),
    ("S1", "Thank you and? over to the weather."),
    ("S3", "It stays dry in the north."),
)
SCRIPTS: Sequence[Line] = (("S1", "He said <script>alert(1)</script> and &lt;b&gt; \"quoted\" 'too'."),)


def publish_programme(transcripts: Path, name: str, lines: Sequence[Line], sound: bool = True) -> None:
    """Publish a programme whose words take 400 ms each."""
    at_ms, segments, silent = 500, [], []
    for speaker, line in lines:
        if line == "♪":
            at_ms += MUSIC_MS
            continue
        words = []
        for text in line.split():
            confidence = 0.1 if text.endswith("?") else 0.95
            end_ms = at_ms + WORD_MS
            words.append(_word(text.removesuffix("?"), at_ms, end_ms, confidence, speaker))
            at_ms = end_ms
        segments.append(
            Segment(start_ms=words[0].start_ms, end_ms=at_ms, speaker=speaker, suspect=False, words=tuple(words))
        )
        silent.append((at_ms, at_ms + PAUSE_MS))
        at_ms += PAUSE_MS
    last = segments[-1]
    document = Transcript(
        media=Media(uri=f"file:///inbox/{KEY[:8]}.wav", sha256=KEY, duration_ms=at_ms),
        provenance=Provenance(
            model_name="a model", model_version="acoustic-model/3", engine="-", code_version="-", normaliser="-"
        ),
        language="en",
        speakers=tuple(Speaker(id=speaker) for speaker in dict.fromkeys(speaker for speaker, _ in lines)),
        segments=tuple(segments),
        suspect_passages=(SuspectPassage(start_ms=last.start_ms, end_ms=last.end_ms, reasons=("repeated_words",)),),
        coverage=Coverage(speech_ms=at_ms, covered_ms=at_ms, redecoded_ms=0),
    )
    webm, peaks = transcripts.with_name("sound.webm"), transcripts.with_name("sound.dat")
    if sound:
        write_listening_copy([_tone(at_ms, silent)], webm, peaks)
    publish_transcript(document, name, KEY, storage.file_uri(transcripts), sound=Sound(webm, peaks) if sound else None)


def _word(text: str, start_ms: int, end_ms: int, confidence: float, speaker: str) -> Word:
    return Word(
        text=text, start_ms=start_ms, end_ms=end_ms, confidence=confidence, speaker=speaker, timing=WordTiming.CTC
    )


def _tone(duration_ms: int, silent: Sequence[tuple[int, int]]) -> np.ndarray:
    """int16, `(n_samples,)`: a tone, interrupted by silence."""
    per_ms = SAMPLE_RATE_HZ // 1000
    samples = (8_000 * np.sin(2 * np.pi * 330 * np.arange(duration_ms * per_ms) / SAMPLE_RATE_HZ)).astype(np.int16)
    for start_ms, end_ms in silent:
        samples[start_ms * per_ms : end_ms * per_ms] = 0
    return samples
