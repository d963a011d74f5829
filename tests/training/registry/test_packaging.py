"""Packaging a model as an MLflow pyfunc."""

from __future__ import annotations

from pathlib import Path

from training.registry.packaging import MODEL_FOLDER, pack


def test_weights_are_copied_into_the_package_and_nowhere_else(tmp_path: Path) -> None:
    model, scratch = tmp_path / "fetched", tmp_path / "scratch"
    model.mkdir()
    scratch.mkdir()
    (model / "model.safetensors").write_bytes(b"weights")
    package = pack(model, {"card.md": "text"}, {"family": "parakeet"}, scratch)
    packed = package / "artifacts" / MODEL_FOLDER / "model.safetensors"
    assert packed.read_bytes() == b"weights"
    assert packed.stat().st_nlink == 1
    fetched = (model / "model.safetensors").stat().st_ino
    assert {path.stat().st_ino for path in scratch.rglob("model.safetensors")} == {fetched, packed.stat().st_ino}
    assert (package / "card.md").read_text() == "text"
