"""A tiny generated corpus, and its steps as run from the command line."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import settings

from tasks import storage
from tasks.contract import STEPS, Receipt
from tasks.progress import no_progress
from tasks.step import run_step

settings.register_profile("no-deadline", deadline=None)  # machines may be busy
settings.load_profile("no-deadline")

WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
CUE_S, GAP_S = 2.4, 0.2


def sound(seconds: float, seed: int) -> bytes:
    """A WAV of a tone in noise, without speech, different for every seed."""
    t = np.arange(round(seconds * 16_000)) / 16_000
    samples = 0.2 * np.sin(2 * np.pi * (150 + 7 * seed) * t) + 0.05 * np.random.default_rng(seed).standard_normal(
        len(t)
    )
    file = io.BytesIO()
    soundfile.write(file, samples, 16_000, format="WAV", subtype="PCM_16")
    return file.getvalue()


def captions(seconds: float, word: str = "evening", delay_s: float = 0.0) -> bytes:
    """SubRip cues over the whole duration, shifted by `delay_s`."""
    cues = []
    for number in range(int(seconds / (CUE_S + GAP_S))):
        start = delay_s + number * (CUE_S + GAP_S)
        times = " --> ".join(f"00:{int(s // 60):02d}:{s % 60:06.3f}".replace(".", ",") for s in (start, start + CUE_S))
        cues.append(f"{number + 1}\n{times}\nGood {word} number {WORDS[number % len(WORDS)]}.\n")
    return "\n".join(cues).encode()


@dataclass(frozen=True)
class Pipeline:
    """The corpus steps over one storage prefix."""

    root: str

    @property
    def media(self) -> str:
        return storage.join(self.root, "media")

    def add(self, name: str, seconds: float = 12.0, seed: int = 0) -> None:
        """Add a programme with captions."""
        storage.write(storage.join(self.media, f"{name}.wav"), sound(seconds, seed))
        storage.write(storage.join(self.media, f"{name}.srt"), captions(seconds))

    def step(self, name: str, **arguments: object) -> Receipt:
        definition = STEPS[name]
        output = storage.join(self.root, "work", name)
        return run_step(definition, definition.arguments(output=output, **arguments), no_progress)

    def scan(self, **arguments: object) -> Receipt:
        return self.step("scan-corpus", **{"media": self.media, "shards": 2, **arguments})

    def prepare(self, scan: Receipt, **arguments: object) -> list[Receipt]:
        return [self.step("prepare-corpus", shard=item.uri, **arguments) for item in scan.items]

    def extract(self, prepared: list[Receipt], **arguments: object) -> list[Receipt]:
        return [self.step("extract-features", prepared=receipt.result, **arguments) for receipt in prepared]

    def assemble(self, scan: Receipt, extracted: list[Receipt]) -> Receipt:
        return self.step("assemble-dataset", scan=scan.result, extracted=tuple(r.result for r in extracted))

    def run(self) -> Receipt:
        """Run all steps. Returns the receipt of assemble-dataset."""
        scan = self.scan()
        return self.assemble(scan, self.extract(self.prepare(scan)))


@pytest.fixture(name="captions")
def _captions() -> Callable[[float], bytes]:
    return captions


@pytest.fixture
def pipeline(storage_root: str) -> Pipeline:
    return Pipeline(storage_root)


@pytest.fixture
def folder(tmp_path: Path) -> Pipeline:
    """For tests that depend on local files."""
    return Pipeline(tmp_path.as_uri())


@pytest.fixture
def bucket(s3: str) -> Pipeline:
    """For tests that depend on S3."""
    return Pipeline(s3)


@pytest.fixture
def moto_bucket(moto_s3: str) -> Pipeline:
    """For keys that SeaweedFS changes or rejects, and Amazon's S3 keeps."""
    return Pipeline(moto_s3)


@pytest.fixture
def make_pipeline(storage_root: str) -> Callable[[str], Pipeline]:
    return lambda name: Pipeline(storage.join(storage_root, name))
