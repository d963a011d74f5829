"""Length-bucketed batches from a pool that is still growing."""

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

WINDOW_SHARDS = 4  # shards shuffled together
POLL_SECONDS = 2.0


def endless_batches(pool: Path, batch_s: float, rank: int, n_workers: int, seed: int) -> Iterator[list[Utterance]]:
    """Batches of about `batch_s` seconds for one worker, which reads every `n_workers`-th shard.

    The least used shards come first, so that new shards are read before others are repeated.
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
        utterances = [u for path in window for u in read_shard(path) if is_alignable(u)]
        batches = bucket(utterances, batch_s, rng)
        rng.shuffle(batches)
        yield from batches


def is_alignable(utterance: Utterance) -> bool:
    """Whether there are enough frames for the labels. Otherwise CTC would silently learn nothing from it."""
    return n_ctc_frames(utterance.labels.tolist()) <= len(utterance.features) // SUBSAMPLING


def bucket(utterances: list[Utterance], batch_s: float, rng: random.Random) -> list[list[Utterance]]:
    """Batches of about `batch_s` with padding, cut from the utterances sorted by length with a little jitter."""
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
    """Padded features `(batch, n_frames, n_mels)`, mask `(batch, n_frames)` and labels `(batch, n_labels)`."""
    features, mask = pad_batch([torch.from_numpy(u.features).float() for u in batch])
    labels = [torch.from_numpy(u.labels).long() for u in batch]
    return features, mask, torch.nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=BLANK_ID)


def spec_augment(features: torch.Tensor, rng: random.Random) -> torch.Tensor:
    """SpecAugment (Park et al. 2019), in place: zero two bands of mels and one or more spans of frames.

    Zero is the mean after per-feature normalisation. `features`: `(batch, n_frames, n_mels)`.
    """
    n_frames, n_mels = features.shape[1:]
    for row in features:  # (n_frames, n_mels)
        for _ in range(2):
            width = rng.randint(0, 14)
            start = rng.randint(0, n_mels - width)
            row[:, start : start + width] = 0.0
        for _ in range(1 + n_frames // 250):
            width = min(rng.randint(0, 12), n_frames - 1)  # up to 0.24 s
            start = rng.randint(0, n_frames - width)
            row[start : start + width] = 0.0
    return features
