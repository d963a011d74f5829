"""Outputs that survive a failed attempt: the next attempt does not compute them again."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from tasks import storage
from tasks.contract import Artifact
from tasks.step import StepContext


@dataclass(frozen=True)
class KeptOutputs:
    """Outputs in the step's own folder, shared by its attempts, instead of the attempt's folder.

    Their content is determined by the step's key, so that attempts may race.
    """

    context: StepContext

    def find(self, name: str) -> str:
        """Return the URI of an output that an earlier attempt kept, and list it in the result; empty if there is
        none."""
        uri = storage.join(self.context.prefix, name)
        if not storage.exists(uri):
            return ""
        self._list(name, storage.info(uri).size, storage.digest(uri))
        return uri

    def keep(self, name: str, data: bytes) -> None:
        """Publish a small output. If another attempt was first, its output is listed instead."""
        uri = storage.join(self.context.prefix, name)
        try:
            storage.write(uri, data, create=True)
        except storage.AlreadyExists:
            self.find(name)
        else:
            self._list(name, len(data), hashlib.sha256(data).hexdigest())

    def keep_file(self, name: str, path: Path) -> None:
        """Publish a large output. S3's multipart uploads cannot be conditional, so it may be overwritten with the same
        bytes."""
        storage.write(storage.join(self.context.prefix, name), path)
        self._list(name, path.stat().st_size, storage.digest_file(path))

    def _list(self, name: str, n_bytes: int, sha256: str) -> None:
        self.context.outputs[name] = Artifact(path=name, bytes=n_bytes, sha256=sha256)
