"""A model becomes an MLflow model."""

from __future__ import annotations

from pathlib import Path

from training.registry.packaging import MODEL_FOLDER, pack


def test_weights_are_copied_into_the_package_and_nowhere_else(tmp_path: Path) -> None:
    """They may be as large as half the disk that a step has."""
    model, scratch = tmp_path / "fetched", tmp_path / "scratch"
    model.mkdir()
    scratch.mkdir()
    (model / "model.safetensors").write_bytes(b"weights")
    package = pack(model, {"card.md": "text"}, {"family": "parakeet"}, scratch)
    packed = package / "artifacts" / MODEL_FOLDER / "model.safetensors"
    assert packed.read_bytes() == b"weights"
    assert not (packed.is_symlink() or packed.parent.is_symlink())
    assert list(scratch.rglob("model.safetensors")) == [packed]
    assert (package / "card.md").read_text() == "text"
    assert (model / "model.safetensors").exists()
