"""The trained weights are what their publishers released."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from local.settings import UserError
from local.weights import installing
from local.weights.catalogue import CATALOGUE, File, Weights


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_every_installed_file_has_its_digest(name: str) -> None:
    folder = installing.folder(name)
    if folder is None:
        pytest.skip("not installed")
    for file in CATALOGUE[name].files:
        assert hashlib.sha256((folder / file.name).read_bytes()).hexdigest() == file.sha256
    assert CATALOGUE[name].licence in (folder / "LICENCE.md").read_text()


def test_parts_are_joined_and_another_content_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one")
    (tmp_path / "b").write_bytes(b"two")
    right = File("model.bin", ("a", "b"), hashlib.sha256(b"onetwo").hexdigest())
    folder = installing._assemble(Weights("good", "MIT", (right,)), tmp_path, tmp_path / "good")
    assert (folder / "model.bin").read_bytes() == b"onetwo"
    wrong = File("model.bin", ("b", "a"), right.sha256)
    with pytest.raises(UserError, match=r"b \+ a: sha256"):
        installing._assemble(Weights("bad", "MIT", (wrong,)), tmp_path, tmp_path / "bad")


def test_every_requirement_is_pinned_with_hashes() -> None:
    lines = installing.REQUIREMENTS.read_text().splitlines()
    packages = [line for line in lines if line and not line.startswith((" ", "#"))]
    assert packages
    assert all("==" in line and line.endswith("\\") for line in packages)
