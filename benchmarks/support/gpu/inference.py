"""Features, recognition and diarization on one device, each beside its peer."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from benchmarks.support import dummy_whisper
from benchmarks.support.gpu.plan import Figure, Plan, compared
from tasks.audio import SAMPLE_RATE_HZ

MIN_FEATURES_RATE = 5_000.0
MIN_RECOGNITION_RATIO = 1.2
BATCH_SIZE = 16  # of faster-whisper's batched pipeline, as its README recommends for a GPU


def timed(plan: Plan, call: Callable[[], object], repeats: int) -> float:
    """The median wall-clock seconds of a call after one that is not counted; of a single call in the tiny form. What it
    returns must be on the CPU."""
    taken = []
    for _ in range(1 if plan.is_tiny else 1 + repeats):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return float(np.median(taken[-repeats:]))


def features(plan: Plan) -> Iterator[Figure]:
    """Log-mel of every family, from waveforms in main memory to features in main memory."""
    from benchmarks.features import utterances
    from tasks.features import config
    from tasks.features.logmel import LogMel

    waveforms = utterances(2 if plan.is_tiny else 400)
    seconds = sum(len(waveform) for waveform in waveforms) / SAMPLE_RATE_HZ
    families = {
        "parakeet": config.parakeet(),
        "whisper, 80 mels": config.whisper(80),
        "whisper, 128 mels": config.whisper(128),
        "wav2vec2-bert": config.wav2vec2_bert(),
    }
    for name, family in families.items():
        extract = LogMel(family, plan.device)
        taken_s = timed(plan, lambda extract=extract: [f.cpu() for f in extract(waveforms)], 5)
        yield Figure("features", name, seconds / taken_s, "x real time", at_least=MIN_FEATURES_RATE)


def programme(seconds: float) -> np.ndarray:
    """Synthetic speech with pauses, `(n_samples,)` float32 at 16 kHz: two minutes, repeated."""
    import random

    import soxr

    from local.demo.synthesis.espeak import ESPEAK_RATE_HZ, speak
    from local.demo.synthesis.sentences import SentenceGenerator
    from local.demo.synthesis.voices import VoiceSet, random_voice

    rng, sentences = random.Random(0), SentenceGenerator(0)
    pieces: list[np.ndarray] = []
    while sum(map(len, pieces)) < min(seconds, 120) * SAMPLE_RATE_HZ:
        spoken = speak(sentences.sentence(), random_voice(VoiceSet.CHANNEL_INBOX, rng))
        pieces += [soxr.resample(spoken, ESPEAK_RATE_HZ, SAMPLE_RATE_HZ), np.zeros(SAMPLE_RATE_HZ // 2, np.float32)]
    return np.resize(np.concatenate(pieces), int(seconds * SAMPLE_RATE_HZ)).astype(np.float32)


def whispers(plan: Plan) -> Iterator[Figure]:
    """The step recognise beside faster-whisper's batched pipeline with word times: base, and turbo's size."""
    samples = programme(8 if plan.is_tiny else 1_200)
    small = dummy_whisper.TINY if plan.is_tiny else dummy_whisper.BASE
    models: dict[str, Path | dummy_whisper.Size] = {
        "Whisper base": plan.whisper or plan.installed("whisper-base") or small
    }
    if not plan.is_tiny:
        models["Whisper of large-v3-turbo's size"] = dummy_whisper.LARGE_V3_TURBO
    for number, (name, model) in enumerate(models.items()):
        is_random = isinstance(model, dummy_whisper.Size)
        what = f"{name}, random weights" if is_random else name
        with without_gap_check() if is_random else contextlib.nullcontext():
            yield from whisper(plan, what, servable(plan, model), samples, plan.folder / f"night-{number}")


@contextlib.contextmanager
def without_gap_check() -> Iterator[None]:
    """Disable the quality gate's check for skipped speech: with random attention, word times are arbitrary."""
    with mock.patch("tasks.night.decoding.uncovered", return_value=()):
        yield


def servable(plan: Plan, model: Path | dummy_whisper.Size) -> Path:
    """A model's folder in CTranslate2's format."""
    from tasks.models.whisper.ctranslate2_folder import servable_folder

    if isinstance(model, dummy_whisper.Size):
        folder = plan.folder / model.name
        if not folder.exists():
            dummy_whisper.save(folder, model)
        return servable_folder(folder)
    return servable_folder(model)


def whisper(plan: Plan, what: str, model: Path, samples: np.ndarray, night: Path) -> Iterator[Figure]:
    import soundfile
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    from benchmarks.support import night_steps

    inbox = plan.folder / "inbox"
    inbox.mkdir(exist_ok=True)
    soundfile.write(inbox / "programme.wav", samples, SAMPLE_RATE_HZ)
    seconds = len(samples) / SAMPLE_RATE_HZ
    recognised, _ = night_steps.transcribe(inbox, night, model)
    compute_type = "float16" if plan.is_cuda else "int8"
    peer = WhisperModel(str(model), device=plan.device, compute_type=compute_type, local_files_only=True)
    batched = BatchedInferencePipeline(peer)

    def transcribe() -> list[Any]:
        return list(batched.transcribe(samples, word_timestamps=True, batch_size=BATCH_SIZE)[0])

    taken_s = {"recognise": seconds / max(recognised.metrics["rtfx"], 1e-9), "batched": timed(plan, transcribe, 1)}
    yield from compared("recognition", f"{what}, {compute_type}", taken_s, seconds, MIN_RECOGNITION_RATIO)


def parakeet(plan: Plan) -> Iterator[Figure]:
    """A Parakeet CTC of 0.6 B parameters and random weights: our engine beside transformers' own calls."""
    import torch
    from transformers import AutoModelForCTC, AutoProcessor

    from local.demo.base_model.model import export, make_model
    from tasks.recognition.ctc import CtcEngine

    folder = plan.folder / "parakeet"
    torch.manual_seed(0)
    size = {"hidden_size": 32, "n_layers": 1} if plan.is_tiny else {"hidden_size": 1024, "n_layers": 24}
    export(make_model(**size), folder)
    samples = programme(6 if plan.is_tiny else 600)
    chunks = np.array_split(samples, max(1, len(samples) // (15 * SAMPLE_RATE_HZ)))
    engine = CtcEngine(folder, plan.device)
    dtype = torch.float16 if plan.is_cuda else torch.float32
    model: Any = AutoModelForCTC.from_pretrained(folder, dtype=dtype, local_files_only=True)
    model = model.to(plan.device).eval()
    processor: Any = AutoProcessor.from_pretrained(folder, local_files_only=True)

    @torch.no_grad()
    def theirs() -> list[str]:
        texts: list[str] = []
        for first in range(0, len(chunks), BATCH_SIZE):
            batch = processor(chunks[first : first + BATCH_SIZE], sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt")
            batch = {name: t.to(plan.device, dtype if t.is_floating_point() else t.dtype) for name, t in batch.items()}
            tokens = model(**batch).logits.argmax(-1).cpu()
            texts += processor.batch_decode(tokens)
        return texts

    calls = {"our engine": lambda: engine.recognise(chunks), "transformers": theirs}
    taken_s = {name: timed(plan, call, 3) for name, call in calls.items()}
    yield from compared("recognition", "Parakeet CTC, random weights", taken_s, len(samples) / SAMPLE_RATE_HZ, None)


def speakers(plan: Plan) -> Iterator[Figure]:
    """Diarization beside pyannote's own pipeline with the same networks, or with random ones of its sizes."""
    from benchmarks.diarization import diarize_all, pyannote_diarizer
    from tasks.diarization.diarizer import load_diarizer
    from tasks.diarization.sources import WEIGHTS

    talk = programme(6 if plan.is_tiny else 600)
    trained = plan.diarizer or plan.installed("diarization")
    ours = load_diarizer(trained or WEIGHTS, "airscript", plan.device)
    theirs = pyannote_diarizer(trained, plan.device)
    taken_s = {d.name: timed(plan, diarize_all(d, talk), 1) for d in (ours, theirs)}
    yield from compared("diarization", "two voices and more", taken_s, len(talk) / SAMPLE_RATE_HZ, None)
