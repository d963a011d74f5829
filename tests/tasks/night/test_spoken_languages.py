"""The languages of a programme, with a trained Whisper: each passage in its own, and accents in none of their own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from local.demo.synthesis.espeak import ESPEAK_RATE_HZ, Voice, speak
from tasks.media.speech_activity import speech_segments
from tasks.night.decoding import AudioChunk, ProgrammeDecoding
from tasks.night.fallback import decode
from tasks.night.records import Preparation, RecognisedProgramme, SpeechSpan
from tasks.night.transcript_building import build_transcript
from tasks.recognition import Engine, load_engine
from tasks.transcripts.coverage import speech_within
from tasks.transcripts.document import WarningCode
from tests.tasks.night.builders import PIPELINE, preparation

GERMAN = (
    "Guten Abend, meine Damen und Herren. Die Regierung hat heute beschlossen, dass die Steuern im nächsten Jahr nicht "
    "erhöht werden. Der Minister sagte, dass viele Menschen in diesem Land auf eine bessere Zukunft hoffen."
)
PAUSE = np.zeros(8_000, np.float32)


@pytest.fixture(scope="module")
def engine(whisper_base: Path) -> Engine:
    return load_engine(whisper_base, "cpu")


@pytest.fixture(scope="module")
def german_in_english(speech: Path) -> np.ndarray:
    """Two sentences of an audiobook, 14 s of German, and two sentences more."""
    german = soxr.resample(speak(GERMAN, Voice("de", "m3", words_per_minute=140)), ESPEAK_RATE_HZ, 16_000) * 0.6
    english = recordings(speech, "sentences/audiobook", 4)
    return np.concatenate([english[0], PAUSE, english[1], PAUSE, german, PAUSE, english[2], PAUSE, english[3]])


def recordings(speech: Path, folder: str, n: int) -> list[np.ndarray]:
    rows = [json.loads(line) for line in (speech / "manifest.jsonl").read_text().splitlines()]
    paths = [speech / row["path"] for row in rows if row["path"].startswith(folder) and row["text"]]
    return [soundfile.read(path, dtype="float32")[0] for path in paths[:n]]


def transcribe(
    engine: Engine, samples: np.ndarray, language: str | None = None
) -> tuple[Preparation, RecognisedProgramme]:
    spans = tuple(SpeechSpan(s.start_ms, s.end_ms) for s in speech_segments([samples]))
    prepared = preparation("news", speech=spans, duration_ms=len(samples) // 16)
    decoding = ProgrammeDecoding(prepared, language)
    decoding.cut_into_chunks(engine.max_chunk_s, engine.join_pause_s, engine.has_fixed_window)
    chunks = [
        AudioChunk(decoding, span, inside, samples[16 * span.start_ms : 16 * span.end_ms])
        for span, inside in zip(decoding.chunks, speech_within(spans, decoding.chunks), strict=True)
    ]
    if not language:
        decoding.language_samples = [samples[16 * s.start_ms : 16 * s.end_ms] for s in decoding.language_chunks]
    for decoded in decode(engine, chunks):
        decoding.add(engine.name, decoded)
    assert decoding.is_complete
    return prepared, decoding.result()


def test_a_german_passage_in_an_english_programme_stays_german(engine: Engine, german_in_english: np.ndarray) -> None:
    prepared, recognised = transcribe(engine, german_in_english)
    assert [passage.language for passage in recognised.passages] == ["en", "de", "en"]
    german = recognised.passages[1]
    words = {w.text.strip(".,").lower() for w in recognised.words if german.start_ms <= w.start_ms < german.end_ms}
    assert {"regierung", "steuern", "menschen", "zukunft"} <= words
    transcript = build_transcript(prepared, recognised, PIPELINE, "0.1.0")
    assert transcript.language == "en"
    assert transcript.language_at((german.start_ms + german.end_ms) // 2) == "de"
    (warning,) = [w for w in transcript.warnings if w.code is WarningCode.LANGUAGE_DOUBTFUL]
    assert warning.detail.endswith("transcribed in de")


def test_a_requested_language_stays_and_another_one_is_told(engine: Engine, german_in_english: np.ndarray) -> None:
    prepared, recognised = transcribe(engine, german_in_english, "en-GB")
    assert {passage.language for passage in recognised.passages} == {"en-GB"}
    assert [passage.language for passage in recognised.sounds_like] == ["de"]
    assert any(
        w.detail.endswith("sounds like de") for w in build_transcript(prepared, recognised, PIPELINE, "0.1.0").warnings
    )


def test_an_accent_is_no_language(engine: Engine, speech: Path) -> None:
    sentences = recordings(speech, "sentences/second_language", 6)
    _, recognised = transcribe(engine, np.concatenate([part for s in sentences for part in (s, PAUSE)]))
    assert {passage.language for passage in recognised.passages} == {"en"}


def test_french_alone_is_french(engine: Engine, speech: Path) -> None:
    import faster_whisper

    french = faster_whisper.decode_audio(str(speech / "other_languages" / "french.aiff"))
    _, recognised = transcribe(engine, french)
    assert recognised.language == "fr"
    assert "dictée" in {word.text.strip(".,").lower() for word in recognised.words}
