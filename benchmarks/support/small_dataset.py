"""Writes a small dataset in the layout of assemble-dataset, for benchmarks that train."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tasks import storage
from tasks.audio import SAMPLE_RATE_HZ
from tasks.corpus.feature_names import features_named
from tasks.dataset import flac
from tasks.dataset.manifest import LOCATIONS, DatasetManifest, Shard, Split
from tasks.dataset.schema import RowWriter, dataset_schema
from tasks.dataset.summary import Summary, Tally
from tasks.features.config import FeaturesConfig
from tasks.features.logmel import LogMel

FEATURES = "parakeet-80-20ms"


@dataclass(frozen=True)
class SpokenUtterance:
    """An utterance; each speaker is a programme."""

    speaker: str
    text: str
    samples: np.ndarray
    """`(n_samples,)` float32 at 16 kHz."""
    path: str = ""
    """The path of the recording within its corpus."""


def write_dataset(
    folder: Path,
    splits: Mapping[Split, Iterable[SpokenUtterance]],
    *,
    with_audio: bool = False,
    features: str = FEATURES,
) -> str:
    """Write one shard for each split; returns the URI of the manifest."""
    folder.mkdir(parents=True)
    config = features_named(features)
    shards: dict[Split, tuple[Shard, ...]] = {}
    kept: dict[Split, Tally] = {}
    programmes: dict[Split, int] = {}
    locations: dict[str, str] = {}
    for split, utterances in splits.items():
        path, name = folder / f"{split}.parquet", f"{split}/00000.parquet"
        speakers, n_samples, n_rows = set(), 0, 0
        with RowWriter(
            path, dataset_schema(config.n_features, with_audio=with_audio), max_rows=64, max_bytes=1 << 30
        ) as writer:
            for utterance, row in _rows(split, utterances, with_audio, config):
                writer.write(row)
                speakers.add(utterance.speaker)
                n_samples += len(utterance.samples)
                n_rows += 1
        shards[split] = (
            Shard(
                name=name,
                sha256=storage.digest_file(path),
                bytes=path.stat().st_size,
                utterances=n_rows,
                hours=n_samples / SAMPLE_RATE_HZ / 3600,
            ),
        )
        kept[split] = Tally(count=n_rows, ms=n_samples * 1000 // SAMPLE_RATE_HZ)
        programmes[split] = len(speakers)
        locations[name] = storage.file_uri(path)
    manifest = DatasetManifest(
        name=folder.name,
        language="en",
        sample_rate_hz=SAMPLE_RATE_HZ,
        normaliser="none",
        features=features,
        features_config=json.loads(config.to_json()),
        splits=shards,
        kept=kept,
        programmes=programmes,
        account=Summary(dropped={}),
        configuration={},
    )
    storage.write(storage.file_uri(folder / LOCATIONS), json.dumps(locations).encode())
    uri = storage.file_uri(folder / "manifest.json")
    storage.write(uri, manifest.model_dump_json().encode())
    return uri


def _rows(
    split: Split, utterances: Iterable[SpokenUtterance], with_audio: bool, config: FeaturesConfig
) -> Iterator[tuple[SpokenUtterance, dict[str, object]]]:
    logmel = LogMel(config)
    for number, utterance in enumerate(utterances, 1):
        pcm = flac.to_pcm(utterance.samples)
        decoded = flac.to_float(pcm)  # as the corpus steps would read it back, (n_samples,)
        yield (
            utterance,
            {
                "utterance_id": f"{split}-{number:06d}",
                "programme_id": utterance.speaker,
                "speaker": utterance.speaker,
                "text": utterance.text,
                "duration_s": len(pcm) / SAMPLE_RATE_HZ,
                "sample_rate_hz": SAMPLE_RATE_HZ,
                "input_features": logmel([decoded])[0].numpy().astype(np.float16),
                "features_config": config.to_json(),
                "sha256": flac.digest(pcm),
            }
            | ({"audio": flac.encode(pcm)} if with_audio else {}),
        )
