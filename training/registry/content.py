"""What a model is, whatever it is called and wherever it lies: the digest of its files."""

from __future__ import annotations

from pathlib import Path

from tasks import storage
from tasks.contract import digest_of


def content_digest(folder: Path) -> str:
    """sha256 over the names and contents of a model's files. A trained model and its registered copy have the same."""
    files = {
        path.relative_to(folder).as_posix(): storage.digest_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    return digest_of(files)
