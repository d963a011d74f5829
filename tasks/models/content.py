"""A model's identity by content, independent of its name and location: the digest of its files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from tasks import storage
from tasks.contract import InputRejected, Reason, digest_of

DIGEST_TAG = "model_digest"  # of a version in the registry
FILES = "model_files.json"  # beside a registered model: the digest of each file, by name; their digest is the tag


def file_digests(folder: Path) -> dict[str, str]:
    """Return the sha256 of each of a model's files, by its path in the folder."""
    return {
        path.relative_to(folder).as_posix(): storage.digest_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def content_digest(folder: Path) -> str:
    """Hash (sha256) the names and contents of a model's files: equal for a trained model and its registered copy."""
    return digest_of(file_digests(folder))


def verify_content(folder: Path, digest: str, files: Path, version: str) -> None:
    """Compare a registered model with the digest in its tag. `files`: its copy of `FILES`, if it has one.

    Raises:
        InputRejected: CORRUPT, with the files that differ.
    """
    found = file_digests(folder)
    if digest_of(found) == digest:
        return
    differing = _differing(found, _recorded(files, digest))
    raise InputRejected(
        f"{version} is not what was registered: {differing}",
        reason=Reason.CORRUPT,
        subject=str(folder),
        next_step="restore its files in MLflow's store, or register the model again; until then use another version",
    )


def _recorded(files: Path, digest: str) -> dict[str, str] | None:
    """The digests recorded at registration; None if there is no record, or it is not the one that the tag is of."""
    try:
        recorded = json.loads(files.read_bytes())
    except (OSError, ValueError):
        return None
    return recorded if digest_of(recorded) == digest else None


def _differing(found: Mapping[str, str], recorded: Mapping[str, str] | None) -> str:
    if recorded is None:
        return "its files do not have the digest in its tag model_digest"
    changed = sorted(name for name in found.keys() & recorded.keys() if found[name] != recorded[name])
    listed = {
        "changed": changed,
        "missing": sorted(recorded.keys() - found.keys()),
        "added": sorted(found.keys() - recorded.keys()),
    }
    return "; ".join(f"{how}: {', '.join(names)}" for how, names in listed.items() if names)
