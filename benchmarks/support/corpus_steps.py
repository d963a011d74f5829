"""The corpus pipeline's own functions, in the order of processing, for the benchmarks that measure it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from tasks.audio import SAMPLE_RATE_HZ
from tasks.corpus.steps.extract import GROUP_BYTES, GROUP_ROWS
from tasks.corpus.utterances.cutting import CutUtterance
from tasks.corpus.utterances.slicing import Slicer
from tasks.dataset import flac
from tasks.dataset.schema import PREPARED, RowWriter, dataset_schema, open_parquet
from tasks.features.config import parakeet
from tasks.features.logmel import LogMel
from tasks.media.decoding.reader import open_audio

UTTERANCE_S = 10


class CorpusSteps:
    """prepare-corpus and extract-features on one thread, without captions and receipts. Writes shards to `folder`."""

    def __init__(self, folder: Path) -> None:
        torch.set_num_threads(1)
        self._shard, self._prepared = folder / "shard.parquet", folder / "prepared.parquet"
        self._extract = LogMel(parakeet())

    def utterances(self, path: Path, seconds: int) -> Iterator[np.ndarray]:
        """Decode, downmix, resample and cut: `(n_samples,)` each."""
        cuts = [CutUtterance(at * 1000, (at + UTTERANCE_S) * 1000, "") for at in range(0, seconds, UTTERANCE_S)]
        with open_audio(path) as audio:
            for _, samples in Slicer(cuts).slice(audio):
                yield samples

    def features(self, waveforms: Iterable[np.ndarray]) -> list[np.ndarray]:
        """Features of each waveform, `(n_frames, n_mels)` float16."""
        return [found.to(torch.float16).numpy() for found in self._extract(list(waveforms))]

    def write(self, features: Iterable[np.ndarray], audio: Iterable[bytes] = ()) -> int:
        """Write a shard, with or without audio. Returns its size in bytes."""
        kept = list(audio)
        schema = dataset_schema(self._extract.config.n_features, with_audio=bool(kept))
        with RowWriter(self._shard, schema, max_rows=GROUP_ROWS, max_bytes=GROUP_BYTES) as writer:
            for number, found in enumerate(features):
                row = _row(number) | {"input_features": found, "features_config": self._extract.config.to_json()}
                writer.write(row | ({"audio": kept[number]} if kept else {}))
        return self._shard.stat().st_size

    def whole(self, path: Path, seconds: int) -> int:
        """Process a file to a shard of features. Returns its size in bytes."""
        return self.write(self.features(self.utterances(path, seconds)))

    def whole_with_audio(self, path: Path, seconds: int) -> int:
        """The same as the two steps do it, with audio as FLAC and a file between them. Returns the shard's size."""
        with RowWriter(self._prepared, PREPARED, max_rows=GROUP_ROWS, max_bytes=GROUP_BYTES) as writer:
            for number, samples in enumerate(self.utterances(path, seconds)):
                pcm = flac.to_pcm(samples)
                found = {"split": "train", "audio": flac.encode(pcm), "sha256": flac.digest(pcm)}
                writer.write(_row(number) | found | {"programme_sha256": "0" * 64})
        with open_parquet(self._prepared.as_uri()) as file:
            audio = [row["audio"] for row in file.read().to_pylist()]
        decoded = [flac.decode(data) for data in audio]
        for pcm in decoded:
            flac.digest(pcm)
        return self.write(self.features(flac.to_float(pcm) for pcm in decoded), audio)


@lru_cache(maxsize=1)
def _steps(folder: Path) -> CorpusSteps:
    return CorpusSteps(folder)


def work(folder: Path, paths: list[Path], seconds: int) -> None:
    """Process every file once; run in a pool's process."""
    with threadpool_limits(1):
        for path in paths:
            _steps(folder).whole(path, seconds)


def _row(number: int) -> dict[str, object]:
    return {
        "utterance_id": f"programme@{number:010d}",
        "programme_id": "programme",
        "speaker": "",
        "text": "these are the words of a caption like many others",
        "duration_s": float(UTTERANCE_S),
        "sample_rate_hz": SAMPLE_RATE_HZ,
        "sha256": "0" * 64,
    }
