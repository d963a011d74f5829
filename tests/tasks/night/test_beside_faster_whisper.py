"""Where faster-whisper's batched pipeline invents, loses or mistakes, and a night does not. Same weights, same audio.

| case | faster-whisper batched | a night |
|---|---|---|
| more words than anyone can say | published like all else | decoded again twice, then marked `suspect` |
| faint speech under noise | cut away before it is heard | heard |
| the opening in another language | decides for the whole programme | is outvoted |
| words that attention cannot place | dropped from the words | kept, their times shared |

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

from benchmarks import parrot
from local.demo.synthesis.espeak import ESPEAK_RATE_HZ, speak
from local.demo.synthesis.voices import VoiceSet, random_voice
from tasks.media.chunks import chunks
from tasks.media.speech_activity import speech_segments
from tasks.night.hearing import Hearing, Piece
from tasks.night.steps.recognise import hear
from tasks.recognition import load_engine
from tasks.recognition.quality import Sign
from tasks.transcripts.spans import Span
from tests.tasks.night.builders import preparation

RATE_HZ = 16_000


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    """A small Whisper that says 75 words, whatever it hears."""
    folder = tmp_path_factory.mktemp("whisper")
    parrot.save(folder, parrot.Size("test", 64, 1, 2))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AIRSCRIPT_MODEL_CACHE", str(tmp_path_factory.mktemp("cache")))
        return load_engine(folder, "cpu")


def said(text: str, seed: int = 0) -> np.ndarray:
    voice = random_voice(VoiceSet.BASE_TRAINING, random.Random(seed))
    return soxr.resample(speak(text, voice), ESPEAK_RATE_HZ, RATE_HZ)


def test_what_nobody_can_say_is_marked(engine) -> None:  # type: ignore[no-untyped-def]
    samples = said("Good evening, and welcome.")
    theirs, _ = BatchedInferencePipeline(engine._model).transcribe(samples, language="en")
    assert len(" ".join(segment.text for segment in theirs).split()) == parrot.N_WORDS

    span = Span(start_ms=0, end_ms=len(samples) // 16)
    piece = Piece(Hearing(preparation(), "en"), span, (span,), samples)
    ((_, ours, signs, again),) = hear(engine, [piece])
    assert again
    assert Sign.TOO_FAST in signs
    assert len(ours.words) >= parrot.N_WORDS, "kept: who reads it decides"


def test_faint_speech_is_heard(engine) -> None:  # type: ignore[no-untyped-def]
    """A voice 10 dB below the noise around it: of 20 s, 18 are heard here and 14 there."""
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
    """The model, but for the languages it hears: one that is given to each chunk."""

    def __init__(self, model: object, languages: list[str]) -> None:
        self._model, self._languages = model, iter(languages)

    def __getattr__(self, name: str) -> object:
        return getattr(self._model, name)

    def detect_language(self, encoded) -> list[list[tuple[str, float]]]:  # type: ignore[no-untyped-def]
        return [[(f"<|{next(self._languages)}|>", 0.9)] for _ in range(encoded.shape[0])]


def test_an_opening_in_another_language_is_outvoted(engine, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    model = engine._model.model
    samples = np.concatenate([said(f"This is sentence number {n} of a long report.", n) for n in range(60)])
    monkeypatch.setattr(engine._model, "model", Detector(model, ["de", *["en"] * 50]))
    _, info = BatchedInferencePipeline(engine._model).transcribe(samples)
    assert info.language == "de"

    hearing = Hearing(preparation(), None)
    hearing.chunks = tuple(Span(start_ms=n * 30_000, end_ms=(n + 1) * 30_000) for n in range(len(samples) // 480_000))
    assert len(hearing.chunks) >= 4
    monkeypatch.setattr(engine._model, "model", Detector(model, ["de", *["en"] * 50]))
    hearing.vote(engine.languages([samples[s.start_ms * 16 : s.end_ms * 16] for s in hearing.ballots]))
    assert hearing.hints.language == "en"
