"""The speakers to train on: their recordings and the speech activity in them."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from local.demo.synthesis.espeak import ESPEAK_RATE_HZ, Voice, speak
from local.demo.synthesis.sentences import SentenceGenerator
from local.demo.synthesis.voices import ACCENTS, VoiceSet, variants
from tasks.audio import SAMPLE_RATE_HZ

FRAME_SAMPLES = 160  # speech activity has a resolution of 10 ms
SPEECH_THRESHOLD_DB = -35.0  # relative to a recording's loud parts
MIN_PAUSE_FRAMES = 25
SCORED = "diarization/"
TARGET_RMS = 0.1  # every recording's speech is scaled to this level
# Resampling shifts formants, pitch and pace together, so each factor makes another speaker of a voice.
STRETCHES = (0.84, 0.92, 1.0, 1.09, 1.19)


@dataclass(frozen=True)
class Recording:
    """One utterance of one speaker."""

    samples: np.ndarray
    """`(n_samples,)` float16 at 16 kHz."""
    speech: np.ndarray
    """`(n_frames,)` bool, one for each 10 ms; short pauses count as speech."""


@dataclass(frozen=True)
class Speaker:
    name: str
    recordings: tuple[Recording, ...]

    @property
    def speech_s(self) -> float:
        return sum(int(recording.speech.sum()) for recording in self.recordings) * FRAME_SAMPLES / SAMPLE_RATE_HZ


def recording(samples: np.ndarray) -> Recording:
    """A recording normalised to `TARGET_RMS`. Speech: frames less than 35 dB below the loud parts."""
    n_frames = len(samples) // FRAME_SAMPLES
    frames = samples[: n_frames * FRAME_SAMPLES].reshape(n_frames, FRAME_SAMPLES)
    power = np.square(frames, dtype=np.float64).mean(axis=1)
    loud = np.quantile(power, 0.9) + 1e-12
    speech = fill_short_pauses(power > loud * 10 ** (SPEECH_THRESHOLD_DB / 10))
    gain = TARGET_RMS / np.sqrt(power[speech].mean() + 1e-12)
    return Recording(np.clip(samples * gain, -4, 4).astype(np.float16), speech)


def fill_short_pauses(speech: np.ndarray, min_frames: int = MIN_PAUSE_FRAMES) -> np.ndarray:
    """`speech` with pauses shorter than `min_frames` filled, `(n_frames,)` bool."""
    filled = speech.copy()
    edges = np.flatnonzero(np.diff(np.concatenate([[True], speech, [True]]).astype(np.int8)))
    for start, end in zip(edges[0::2], edges[1::2], strict=True):
        if start > 0 and end < len(speech) and end - start < min_frames:
            filled[start:end] = True
    return filled


def synthetic_speakers(voice_set: VoiceSet, seed: int, n_utterances: int = 4) -> list[Speaker]:
    """Speakers from every vocal tract of a set and every stretch, each with its own accent, pitch and pace."""
    rng = random.Random(f"diarization/{voice_set}/{seed}")
    sentences = SentenceGenerator(rng.randrange(2**32))
    speakers = []
    for variant in variants(voice_set):
        for stretch in STRETCHES:
            voice = Voice(
                accent=rng.choice(ACCENTS),
                variant=variant,
                pitch=rng.randint(30, 70),
                pitch_range=rng.randint(30, 75),
                words_per_minute=rng.randint(125, 190),
            )
            spoken = (speak(f"{sentences.sentence()} {sentences.sentence()}", voice) for _ in range(n_utterances))
            made = tuple(
                recording(soxr.resample(speech, ESPEAK_RATE_HZ * stretch, SAMPLE_RATE_HZ, quality="MQ"))
                for speech in spoken
                if len(speech) > ESPEAK_RATE_HZ
            )
            if made:
                speakers.append(Speaker(f"{variant}/{stretch}", made))
    return speakers


def human_speakers(
    speech: Path, folders: tuple[str, ...] = ("train_pack",), stretches: tuple[float, ...] = (1.0,)
) -> list[Speaker]:
    """The named speakers of a folder of recordings with a `manifest.jsonl`, one for each of `stretches`.

    Speakers of the scored recordings below `diarization/` are excluded.
    """
    import soundfile

    rows = [json.loads(line) for line in (speech / "manifest.jsonl").read_text().splitlines()]
    scored = {name for row in rows if row["path"].startswith(SCORED) for name in names(row["speaker"])}
    by_speaker: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        is_named = isinstance(row["speaker"], str) and not row["speaker"].endswith(":unknown")
        is_selected = row["path"].startswith(folders) and row["sample_rate"] == SAMPLE_RATE_HZ
        if is_named and is_selected and row["speaker"] not in scored:
            by_speaker[row["speaker"]].append(row["path"])
    speakers = []
    for name, paths in sorted(by_speaker.items()):
        waveforms = [soundfile.read(speech / path, dtype="float32")[0] for path in sorted(paths)]
        for stretch in stretches:
            made = tuple(
                recording(soxr.resample(samples, SAMPLE_RATE_HZ * stretch, SAMPLE_RATE_HZ, quality="MQ"))
                for samples in waveforms
                if len(samples) > SAMPLE_RATE_HZ
            )
            if made:
                speakers.append(Speaker(f"{name}/{stretch}", made))
    return speakers


def names(speaker: str | list[str]) -> list[str]:
    """The speakers of a recording; a talk has several."""
    return [speaker] if isinstance(speaker, str) else speaker
