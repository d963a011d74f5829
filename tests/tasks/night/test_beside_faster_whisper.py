"""Cases that faster-whisper's batched pipeline gets wrong and a night does not. Same weights, same audio.

| case | faster-whisper batched | a night |
|---|---|---|
| more words than can be spoken | published like any other | decoded again twice, then marked `suspect` |
| faint speech under noise | cut away before decoding | decoded |
| the opening in another language | decides for the whole programme | is outweighed |
| text without word times from attention | dropped from the words | kept, with estimated times |

The weights are random, so what is shown is what each pipeline does with what a model says, not how often a trained
model says it. That a trained one loops on music, or is right about faint speech, cannot be shown here. The fourth case
is in `tests/tasks/recognition/test_engines.py`.
"""

from __future__ import annotations

import random
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
import soxr
from faster_whisper import BatchedInferencePipeline

from benchmarks.support import dummy_whisper
from local.demo.synthesis.espeak import ESPEAK_RATE_HZ, speak
from local.demo.synthesis.voices import VoiceSet, random_voice
from tasks.media.chunks import chunks
from tasks.media.speech_activity import speech_segments
from tasks.night.decoding import AudioChunk, ProgrammeDecoding
from tasks.night.fallback import decode
from tasks.recognition import load_engine
from tasks.recognition.quality import QualityFlag
from tasks.transcripts.spans import Span
from tests.tasks.night.builders import preparation

RATE_HZ = 16_000


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    """A small Whisper that says 75 words, whatever it hears."""
    folder = tmp_path_factory.mktemp("whisper")
    dummy_whisper.save(folder, dummy_whisper.Size("test", 64, 1, 2))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AIRSCRIPT_MODEL_CACHE", str(tmp_path_factory.mktemp("cache")))
        return load_engine(folder, "cpu")


def speech(text: str, seed: int = 0) -> np.ndarray:
    voice = random_voice(VoiceSet.BASE_TRAINING, random.Random(seed))
    return soxr.resample(speak(text, voice), ESPEAK_RATE_HZ, RATE_HZ)


def test_more_words_than_can_be_spoken_are_marked(engine) -> None:  # type: ignore[no-untyped-def]
    samples = speech("Good evening, and welcome.")
    theirs, _ = BatchedInferencePipeline(engine._model).transcribe(samples, language="en")
    assert len(" ".join(segment.text for segment in theirs).split()) == dummy_whisper.N_WORDS

    span = Span(start_ms=0, end_ms=len(samples) // 16)
    chunk = AudioChunk(ProgrammeDecoding(preparation(), "en"), span, (span,), samples)
    (ours,) = decode(engine, [chunk])
    assert ours.redecoded
    assert QualityFlag.TOO_FAST in ours.flags
    assert len(ours.recognition.words) >= dummy_whisper.N_WORDS, "kept: the reader decides"


def test_faint_speech_is_decoded(engine) -> None:  # type: ignore[no-untyped-def]
    """A voice 10 dB below the noise: of 20 s, 18 are decoded here and 14 there."""
    texts = [f"This is sentence number {n} of a long report." for n in range(8)]
    voices = [random_voice(VoiceSet.BASE_TRAINING, random.Random(n)) for n in range(8)]
    # espeak-ng says nothing twice alike, unless it begins anew.
    with ProcessPoolExecutor(1, get_context("spawn")) as fresh:
        spoken = list(fresh.map(speak, texts, voices))
    voice = np.concatenate([soxr.resample(samples, ESPEAK_RATE_HZ, RATE_HZ) for samples in spoken])
    noise = np.random.default_rng(0).normal(0, 1, len(voice)).astype(np.float32)
    power = float(np.mean(voice**2))
    mixed = ((voice + noise * np.sqrt(10 * power)) * 0.2).astype(np.float32)
    _, info = BatchedInferencePipeline(engine._model).transcribe(mixed, language="en")
    ours_s = sum(chunk.duration_ms for chunk in chunks(speech_segments([mixed]))) / 1000
    assert ours_s > info.duration_after_vad + 2.0
    assert ours_s > 0.85 * len(voice) / RATE_HZ


class Detector:
    """The model with a scripted language detection, one language for each chunk."""

    def __init__(self, model: object, languages: list[str]) -> None:
        self._model, self._languages = model, iter(languages)

    def __getattr__(self, name: str) -> object:
        return getattr(self._model, name)

    def detect_language(self, encoded) -> list[list[tuple[str, float]]]:  # type: ignore[no-untyped-def]
        return [[(f"<|{next(self._languages)}|>", 0.9)] for _ in range(encoded.shape[0])]


def test_an_opening_in_another_language_is_outweighed(engine, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    model = engine._model.model
    samples = np.concatenate([speech(f"This is sentence number {n} of a long report.", n) for n in range(60)])
    monkeypatch.setattr(engine._model, "model", Detector(model, ["de", *["en"] * 50]))
    _, info = BatchedInferencePipeline(engine._model).transcribe(samples)
    assert info.language == "de"

    decoding = ProgrammeDecoding(preparation(), None)
    decoding.chunks = tuple(Span(start_ms=n * 30_000, end_ms=(n + 1) * 30_000) for n in range(len(samples) // 480_000))
    assert len(decoding.chunks) >= 4
    monkeypatch.setattr(engine._model, "model", Detector(model, ["de", *["en"] * 50]))
    decoding.choose_language(
        engine.detect_languages([samples[s.start_ms * 16 : s.end_ms * 16] for s in decoding.language_chunks])
    )
    assert max(decoding.language_prior, key=decoding.language_prior.__getitem__) == "en"
