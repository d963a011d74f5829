"""Small records for tests of the night."""

from __future__ import annotations

import hashlib

from tasks.contract import Outcome
from tasks.night.pipeline import Pipeline
from tasks.night.records import Arrival, Preparation, ProgrammeWord, RecognisedProgramme, SpeechSpan
from tasks.transcripts.document import WordTiming

PIPELINE = Pipeline(model="models:/acoustic-model/3", model_version="acoustic-model/3", model_digest="a" * 64)


def arrival(name: str = "news", n_bytes: int = 1000, uri: str = "") -> Arrival:
    digits = hashlib.sha256(f"{name}{uri}".encode()).hexdigest()[:16]
    return Arrival(id=digits, programme=name, uri=uri or f"s3://inbox/{name}.wav", n_bytes=n_bytes, etag="e")


def preparation(name: str = "news", duration_ms: int = 20_000, **changes: object) -> Preparation:
    speech = (SpeechSpan(start_ms=500, end_ms=duration_ms - 500),)
    made = Preparation(
        arrival=arrival(name),
        outcome=Outcome.DONE,
        sha256=hashlib.sha256(name.encode()).hexdigest(),
        duration_ms=duration_ms,
        speech=speech,
    )
    return made.model_copy(update=changes)


def recognised(text: str = "good evening here is the news", name: str = "news") -> RecognisedProgramme:
    words = tuple(
        ProgrammeWord(text=word, start_ms=1000 + 500 * n, end_ms=1400 + 500 * n, confidence=0.9, timing=WordTiming.CTC)
        for n, word in enumerate(text.split())
    )
    return RecognisedProgramme(arrival=arrival(name).id, engine="a test", language="en", words=words, covered_ms=5000)
