"""A model's identity by content, independent of its name and location: the digest of its files."""

from __future__ import annotations

from pathlib import Path

from tasks import storage
from tasks.contract import digest_of


def content_digest(folder: Path) -> str:
    """Hash (sha256) the names and contents of a model's files: equal for a trained model and its registered copy."""
    files = {
        path.relative_to(folder).as_posix(): storage.digest_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    return digest_of(files)
