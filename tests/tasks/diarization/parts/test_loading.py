"""Diarizers given in parts: every kind of file, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from tasks import storage
from tasks.contract import InputRejected, Misconfigured, Reason
from tasks.diarization import fetch, resolve
from tasks.diarization.diarizer import Diarizer, load_diarizer
from tests.tasks.diarization.conftest import Talk
from tests.tasks.diarization.parts.onnx_file import mean_over_time
from training.scoring.speakers import annotation_of, speaker_errors

THRESHOLD = {"threshold": 0.8}


@pytest.fixture(scope="module")
def trained(diarization_weights: Path) -> Diarizer:
    return load_diarizer(diarization_weights, "parts", "cpu")


def test_two_synthetic_voices(trained: Diarizer, talk: Talk) -> None:
    found = trained.diarize(talk.read, talk.speech)
    assert found.speakers == ("S1", "S2")
    assert speaker_errors(annotation_of(talk.turns), annotation_of(found.turns), collar_s=0.25).rate < 0.1


def test_two_people_in_conversation(trained: Diarizer, speech: Path) -> None:
    import soundfile

    from tasks.transcripts.spans import Span
    from training.scoring.speakers import read_rttm

    sample = speech / "diarization" / "sample" / "sample"
    samples, _ = soundfile.read(sample.with_suffix(".flac"), dtype="float32")
    found = trained.diarize(lambda start, end: samples[start * 16 : end * 16], [Span(0, len(samples) // 16)])
    assert len(found.speakers) == 2
    assert speaker_errors(read_rttm(sample.with_suffix(".rttm")), annotation_of(found.turns)).rate < 0.12


@pytest.fixture
def parts(mirror: Path, tmp_path: Path) -> Path:
    """A folder with a small segmentation of random weights; the embedding is added by the test."""
    folder = tmp_path / "parts"
    shutil.copytree(mirror / "segmentation", folder / "segmentation")
    return folder


def configure(folder: Path, embedding: dict[str, str], **fields: object) -> Path:
    segmentation = {"kind": "pyannote", "path": "segmentation"}
    config = {"segmentation": segmentation, "embedding": embedding, "clustering": THRESHOLD} | fields
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


def is_loaded(folder: Path, talk: Talk) -> bool:
    """Whether it diarizes, twice the same."""
    diarizer = load_diarizer(folder, "parts", "cpu")
    found = diarizer.diarize(talk.read, talk.speech[:2])
    return diarizer.threshold == THRESHOLD["threshold"] and found == diarizer.diarize(talk.read, talk.speech[:2])


def test_folders_of_pyannote(parts: Path, mirror: Path, talk: Talk) -> None:
    shutil.copytree(mirror / "embedding", parts / "embedding")
    assert is_loaded(configure(parts, {"kind": "pyannote", "path": "embedding"}), talk)


@pytest.mark.parametrize("takes", ["fbank", "fbank-hamming", "waveform"])
def test_torchscript(parts: Path, talk: Talk, takes: str) -> None:
    class Mean(torch.nn.Module):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            return batch.mean(dim=1) if batch.dim() == 3 else batch[:, :400]

    torch.jit.script(Mean()).save(str(parts / "mean.pt"))
    assert is_loaded(configure(parts, {"kind": "torchscript", "path": "mean.pt", "input": takes}), talk)


def test_onnx(parts: Path, talk: Talk) -> None:
    (parts / "mean.onnx").write_bytes(mean_over_time(n_mels=80))
    assert is_loaded(configure(parts, {"kind": "onnx", "path": "mean.onnx"}), talk)


def test_an_onnx_network_that_takes_something_else(parts: Path) -> None:
    (parts / "mean.onnx").write_bytes(mean_over_time(n_mels=80))
    configure(parts, {"kind": "onnx", "path": "mean.onnx", "input": "waveform"})
    with pytest.raises(InputRejected, match=r"kinds in config\.yaml") as caught:
        load_diarizer(parts, "parts")
    assert caught.value.reason is Reason.CORRUPT


def test_from_storage(diarization_weights: Path, storage_root: str, tmp_path: Path) -> None:
    prefix = storage.join(storage_root, "models", "parts")
    for path in diarization_weights.iterdir():
        storage.write(storage.join(prefix, path.name), path.read_bytes())
    reference = resolve(prefix)
    assert load_diarizer(fetch(reference, tmp_path), reference.version, "cpu").threshold == 0.8


@pytest.mark.parametrize(
    ("embedding", "message"),
    [
        ({"kind": "xvector", "path": "a.pt"}, r"embedding\.kind"),
        ({"kind": "onnx", "path": "../a.onnx"}, r"embedding\.path.*not a path below"),
        ({"kind": "onnx", "path": "/a.onnx"}, "not a path below"),
        ({"kind": "onnx", "path": "a.onnx", "dimensions": "80"}, r"embedding\.dimensions"),
        ({"kind": "onnx"}, r"embedding\.path"),
    ],
)
def test_invalid_configurations(parts: Path, embedding: dict[str, str], message: str) -> None:
    with pytest.raises(Misconfigured, match=message):
        load_diarizer(configure(parts, embedding), "parts")


def test_an_embedding_that_was_not_measured_needs_a_threshold(parts: Path) -> None:
    configure(parts, {"kind": "onnx", "path": "a.onnx"}, clustering=None)
    with pytest.raises(Misconfigured, match=r"local\.demo\.diarizer\.parts"):
        load_diarizer(parts, "parts")


@pytest.mark.parametrize("kind", ["campplus", "pyannote", "onnx", "torchscript"])
def test_files_that_are_missing_or_damaged(parts: Path, kind: str) -> None:
    configure(parts, {"kind": kind, "path": "embedding.bin"})
    with pytest.raises(InputRejected, match="missing") as caught:
        load_diarizer(parts, "parts")
    assert caught.value.reason is Reason.CORRUPT
    damaged = parts / "embedding.bin" / "pytorch_model.bin" if kind == "pyannote" else parts / "embedding.bin"
    damaged.parent.mkdir(exist_ok=True)
    damaged.write_bytes(np.random.default_rng(1).bytes(2000))
    with pytest.raises(InputRejected) as caught:
        load_diarizer(parts, "parts")
    assert caught.value.reason is Reason.CORRUPT


def test_a_pickle_that_runs_code_is_not_loaded(parts: Path, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[Path]]:
            return (Path.touch, (tmp_path / "touched",))

    torch.save({"state_dict": Evil()}, parts / "evil.pt")
    configure(parts, {"kind": "campplus", "path": "evil.pt"})
    with pytest.raises(InputRejected):
        load_diarizer(parts, "parts")
    assert not (tmp_path / "touched").exists()
