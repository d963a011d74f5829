"""Batches of like length from a pool that is still growing."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import torch

from local.demo.base_model.alphabet import BLANK_ID, n_ctc_frames
from local.demo.base_model.model import SUBSAMPLING
from local.demo.base_model.pool import Utterance, read_shard
from tasks.features.logmel import pad_batch

WINDOW_SHARDS = 4  # shards mixed at a time
POLL_SECONDS = 2.0


def endless_batches(pool: Path, batch_s: float, rank: int, n_workers: int, seed: int) -> Iterator[list[Utterance]]:
    """Batches of about `batch_s` seconds for one worker, which owns every `n_workers`-th shard.

    Shards used least come first, so everything new is seen before anything twice.
    """
    rng = random.Random(f"batches/{seed}/{rank}")
    uses: Counter[Path] = Counter()
    while True:
        shards = sorted(pool.glob("train-*.npz"))[rank::n_workers]
        if not shards:
            time.sleep(POLL_SECONDS)
            continue
        rng.shuffle(shards)
        window = sorted(shards, key=lambda path: uses[path])[:WINDOW_SHARDS]
        if len({uses[path] for path in window}) > 1:
            window = [path for path in window if uses[path] == uses[window[0]]]
        uses.update(window)
        utterances = [u for path in window for u in read_shard(path) if is_possible(u)]
        batches = bucket(utterances, batch_s, rng)
        rng.shuffle(batches)
        yield from batches


def is_possible(utterance: Utterance) -> bool:
    """Whether CTC can write the labels in the frames there are. An impossible one teaches nothing, silently."""
    return n_ctc_frames(utterance.labels.tolist()) <= len(utterance.features) // SUBSAMPLING


def bucket(utterances: list[Utterance], batch_s: float, rng: random.Random) -> list[list[Utterance]]:
    """Utterances sorted by length, a little jittered, and cut so that a padded batch holds about `batch_s`."""
    ordered = sorted(utterances, key=lambda u: u.duration_s * rng.uniform(0.95, 1.05))
    batches: list[list[Utterance]] = [[]]
    longest_s = 0.0
    for utterance in ordered:
        longest_s = max(longest_s, utterance.duration_s)
        if batches[-1] and (len(batches[-1]) + 1) * longest_s > batch_s:
            batches.append([])
            longest_s = utterance.duration_s
        batches[-1].append(utterance)
    return batches


def collate(batch: list[Utterance]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Features `(batch, n_frames, n_mels)`, mask `(batch, n_frames)`, labels `(batch, n_labels)`."""
    features, mask = pad_batch([torch.from_numpy(u.features).float() for u in batch])
    labels = [torch.from_numpy(u.labels).long() for u in batch]
    return features, mask, torch.nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=BLANK_ID)


def spec_augment(features: torch.Tensor, rng: random.Random) -> torch.Tensor:
    """SpecAugment (Park et al. 2019) in place: two bands of mels and a stretch or two of frames become zero,
    which after per-feature normalisation is the mean."""
    n_frames, n_mels = features.shape[1:]
    for row in features:
        for _ in range(2):
            width = rng.randint(0, 14)
            start = rng.randint(0, n_mels - width)
            row[:, start : start + width] = 0.0
        for _ in range(1 + n_frames // 250):
            width = min(rng.randint(0, 12), n_frames - 1)  # up to 0.24 s
            start = rng.randint(0, n_frames - width)
            row[start : start + width] = 0.0
    return features
