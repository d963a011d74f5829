"""Pyannote pipelines from folders in upstream's layout, without a hub."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks import storage
from tasks.contract import InputRejected, Misconfigured, Reason
from tasks.diarization import fetch, resolve
from tasks.diarization.diarizer import load_diarizer
from tests.tasks.diarization.conftest import Talk


@pytest.fixture
def changed(mirror: Path, tmp_path: Path) -> Callable[[Callable[[dict[str, Any]], None]], Path]:
    """A copy of the pipeline with an edited configuration."""

    def copy(edit: Callable[[dict[str, Any]], None]) -> Path:
        folder = tmp_path / "nvidia-wespeaker-speechbrain"  # names that upstream takes for other libraries' models
        shutil.copytree(mirror, folder)
        config = yaml.safe_load((folder / "config.yaml").read_text())
        edit(config)
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        return folder

    return copy


def test_a_pipeline_from_storage(mirror: Path, storage_root: str, talk: Talk, tmp_path: Path) -> None:
    prefix = storage.join(storage_root, "models", "community-1")
    for path in mirror.rglob("*"):
        if path.is_file():
            storage.write(storage.join(prefix, *path.relative_to(mirror).parts), path.read_bytes())
    reference = resolve(prefix)
    diarizer = load_diarizer(fetch(reference, tmp_path), reference.version, "cpu")
    found = diarizer.diarize(talk.read, talk.speech)
    assert diarizer.threshold == 0.6
    assert found == diarizer.diarize(talk.read, talk.speech)
    assert resolve(prefix).digest == reference.digest


def test_another_clustering_needs_no_plda(
    changed: Callable[[Callable[[dict[str, Any]], None]], Path], talk: Talk
) -> None:
    """As speaker-diarization-3.1 is configured; upstream would download an unused PLDA."""

    def edit(config: dict[str, Any]) -> None:
        config["pipeline"]["params"]["clustering"] = "AgglomerativeClustering"
        del config["pipeline"]["params"]["plda"]
        config["params"]["clustering"] = {"method": "centroid", "min_cluster_size": 12, "threshold": 0.7}
        config["version"] = "3.1.0"

    folder = changed(edit)
    shutil.rmtree(folder / "plda")
    diarizer = load_diarizer(folder, "3.1", "cpu")
    diarizer.diarize(talk.read, talk.speech)
    assert diarizer.threshold == 0.7


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("somebody/segmentation", Misconfigured, "may run any code"),
        ("pyannote/segmentation-3.0", InputRejected, "names pyannote/segmentation-3.0, which is not available locally"),
        ("$model/elsewhere", InputRejected, "no such folder"),
        ("$model/../..", InputRejected, "no such folder"),
    ],
)
def test_models_that_are_not_in_the_folder(
    changed: Callable[[Callable[[dict[str, Any]], None]], Path], source: str, error: type[Exception], message: str
) -> None:
    folder = changed(lambda config: config["pipeline"]["params"].update(segmentation=source))
    with pytest.raises(error, match=message):
        load_diarizer(folder, "x")


def test_only_pyannotes_diarization_is_loaded(changed: Callable[[Callable[[dict[str, Any]], None]], Path]) -> None:
    folder = changed(lambda config: config["pipeline"].update(name="subprocess.Popen"))
    with pytest.raises(Misconfigured, match=r"subprocess\.Popen, which is not pyannote's speaker diarization"):
        load_diarizer(folder, "x")


@pytest.mark.parametrize("name", ["segmentation/pytorch_model.bin", "plda/plda.npz"])
def test_a_file_is_missing_or_damaged(changed: Callable[[Callable[[dict[str, Any]], None]], Path], name: str) -> None:
    folder = changed(lambda config: None)
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputRejected) as caught:
        load_diarizer(folder, "x")
    assert caught.value.reason is Reason.CORRUPT
    (folder / name).unlink()
    with pytest.raises(InputRejected, match="missing") as caught:
        load_diarizer(folder, "x")
    assert "copy the pipeline's whole folder again" in str(caught.value)


@pytest.mark.parametrize("text", ["", "- a list", "pipeline: [", "pipeline: none"])
def test_invalid_configurations(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(InputRejected) as caught:
        load_diarizer(tmp_path, "x")
    assert caught.value.reason is Reason.CORRUPT
