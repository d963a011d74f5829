"""A pool of synthetic utterances on disk, filled by one process and read by the trainer.

A shard is an `.npz` file: the float16 features of many utterances concatenated, their label ids likewise, and the
length of each. Shards are written atomically (to a temporary file, then renamed).
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from local.demo.base_model.alphabet import encode
from local.demo.synthesis.augmentation import Augmenter, SoundBank
from local.demo.synthesis.espeak import ESPEAK_RATE_HZ, speak
from local.demo.synthesis.sentences import SentenceGenerator
from local.demo.synthesis.voices import VoiceSet, random_voice
from tasks.audio import SAMPLE_RATE_HZ
from tasks.features.config import parakeet

FEATURES = parakeet(hop_samples=320)  # 20 ms
SHARD_UTTERANCES = 240
VERSIONS = 2  # augmented versions of each synthesised utterance
MAX_SECONDS = 16.0
NONSPEECH_SHARE = 0.02  # utterances of noise or music alone, with an empty text


@dataclass(frozen=True)
class Utterance:
    """A training example: features `(n_frames, n_mels)` float16 and label ids `(n_labels,)`."""

    features: np.ndarray
    labels: np.ndarray

    @property
    def duration_s(self) -> float:
        return len(self.features) / FEATURES.frame_rate_hz


class UtteranceSource:
    """Utterances in the voices of a set, clean or augmented. Deterministic for a seed."""

    def __init__(self, voice_set: VoiceSet, seed: int, bank: SoundBank) -> None:
        self._voice_set = voice_set
        self._rng = random.Random(f"utterances/{voice_set}/{seed}")
        self._sentences = SentenceGenerator(self._rng.randrange(2**32))
        self._augmenter = Augmenter(bank, np.random.default_rng(self._rng.randrange(2**32)))

    def speech(self, stretch: float = 1.0) -> Iterator[tuple[np.ndarray, str]]:
        """Endless pairs of speech `(n_samples,)` at 16 kHz and its text; one in eight has two speakers.

        `stretch` limits the random resampling, which shifts pitch, formants and pace together: 1.15 is up to 15 %
        either way.
        """
        while True:
            pieces, texts = [], []
            for _ in range(self._rng.choice((1, 1, 1, 1, 1, 1, 1, 2))):
                voice = random_voice(self._voice_set, self._rng)
                sentences = [self._sentences.sentence() for _ in range(self._rng.choice((1, 1, 1, 2, 2, 3)))]
                factor = stretch ** self._rng.uniform(-1, 1)
                spoken = speak(" ".join(sentences), voice)
                pieces.append(soxr.resample(spoken, ESPEAK_RATE_HZ * factor, SAMPLE_RATE_HZ, quality="MQ"))
                texts += sentences
            speech = np.concatenate(pieces)
            if 0.3 * SAMPLE_RATE_HZ < len(speech) < MAX_SECONDS * SAMPLE_RATE_HZ:
                yield speech, " ".join(texts)

    def augmented(self) -> Iterator[tuple[np.ndarray, str]]:
        """Endless pairs for training: each utterance in `VERSIONS` augmented versions, and some without speech."""
        for speech, text in self.speech(stretch=1.15):
            for _ in range(VERSIONS):
                factor = 1.08 ** self._rng.uniform(-1, 1)
                resampled = soxr.resample(speech, SAMPLE_RATE_HZ * factor, SAMPLE_RATE_HZ, quality="MQ")
                yield self._augmenter.waveform(resampled), text
            if self._rng.random() < NONSPEECH_SHARE * VERSIONS:
                yield self._augmenter.background_only(int(self._rng.uniform(1, 8) * SAMPLE_RATE_HZ)), ""


def write_shard(path: Path, spoken: list[tuple[np.ndarray, str]]) -> None:
    """Compute features and labels of pairs of waveform and text, and write them."""
    import torch

    from tasks.features.logmel import LogMel

    torch.set_num_threads(1)
    features = [f.numpy().astype(np.float16) for f in LogMel(FEATURES)([waveform for waveform, _ in spoken])]
    labels = [np.array(encode(text), dtype=np.uint8) for _, text in spoken]
    partial = path.with_suffix(".part")
    with partial.open("wb") as file:
        np.savez(
            file,
            features=np.concatenate(features),
            n_frames=np.array([len(f) for f in features]),
            labels=np.concatenate(labels),
            n_labels=np.array([len(ids) for ids in labels]),
        )
    partial.rename(path)


def read_shard(path: Path) -> list[Utterance]:
    with np.load(path) as shard:
        features = np.split(shard["features"], np.cumsum(shard["n_frames"])[:-1])
        labels = np.split(shard["labels"], np.cumsum(shard["n_labels"])[:-1])
    return [Utterance(f, ids) for f, ids in zip(features, labels, strict=True)]


def fill(pool: Path, seed: int, n_shards: int) -> None:
    """Write the missing training shards in order, until there are `n_shards` or the parent process has ended.

    Each shard has its own seed, so an interrupted pool is resumed.
    """
    pool.mkdir(parents=True, exist_ok=True)
    parent = os.getppid()
    bank = SoundBank.make(seed)
    for index in range(n_shards):
        path = pool / f"train-{index:05d}.npz"
        if os.getppid() != parent:
            return
        if not path.exists():
            pairs = UtteranceSource(VoiceSet.BASE_TRAINING, seed * 1_000_003 + index, bank).augmented()
            write_shard(path, [next(pairs) for _ in range(SHARD_UTTERANCES)])


def write_validation(pool: Path, seed: int, n_utterances: int = 80) -> tuple[Path, Path]:
    """Write two shards with unseen voices and sentences, one clean, one augmented. Returns their paths."""
    pool.mkdir(parents=True, exist_ok=True)
    clean, noisy = pool / "validation-clean.npz", pool / "validation-noisy.npz"
    if not (clean.exists() and noisy.exists()):
        bank = SoundBank.make(seed + 1)  # other rooms and sounds than in training
        source = UtteranceSource(VoiceSet.BASE_VALIDATION, seed, bank)
        pairs = [pair for _, pair in zip(range(n_utterances), source.speech(), strict=False)]
        augmenter = Augmenter(bank, np.random.default_rng(seed))
        write_shard(clean, pairs)
        write_shard(noisy, [(augmenter.waveform(speech), text) for speech, text in pairs])
    return clean, noisy
