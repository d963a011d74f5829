"""Checkpoints in storage, from which a stopped or killed run resumes.

A checkpoint is a folder of objects. Its `manifest.json` is written last and lists them with their digests; a folder
without one is incomplete and ignored. Checkpoints hold tensors and plain numbers only, so loading one cannot run code.

Two attempts may write at the same time for a while: a node that lost its network keeps running. So an attempt's
checkpoints refer to no object of another attempt, and it deletes nothing that others wrote after it began. The latest
attempt that has saved keeps its checkpoints, whatever the others do.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from tasks import storage
from tasks.contract import Frozen

if TYPE_CHECKING:
    import torch

log = structlog.get_logger()

N_KEPT = 2  # complete checkpoints that are kept: the newest, and the one before in case the newest is damaged
_MANIFEST, _WEIGHTS, _STATE = "manifest.json", "model.safetensors", "state.pt"


class CheckpointManifest(Frozen):
    """The objects of a checkpoint. `best` is the URI of the best weights so far, kept beside the checkpoints."""

    step: int
    best: str
    objects: dict[str, str]
    """sha256 by URI."""


class Checkpoints:
    """The checkpoints of one run, under one prefix."""

    def __init__(self, prefix: str, attempt: str, scratch: Path) -> None:
        """`attempt` keeps the folders of two attempts that reach the same step apart."""
        self.prefix, self.scratch, self._attempt = prefix, scratch, attempt
        self._best: dict[str, str] = {}
        """sha256 of the best weights by URI, so that saving need not read them: a Spot node has two minutes."""
        self._deletable: set[str] = set()
        """URIs that this attempt may delete: those that existed when it began, and its own."""
        self._kept: list[set[str]] = []
        """URIs of the complete checkpoints to keep, the newest last: the one resumed from, and this attempt's own."""

    def save_best(self, step: int, weights: dict[str, torch.Tensor]) -> str:
        """Write the best-scoring weights; checkpoints refer to them by the URI returned."""
        uri = self._best_uri(step)
        self._best = {uri: self._write_weights(uri, weights)}
        return uri

    def copy_best(self, step: int, uri: str) -> str:
        """Copy the best weights of the checkpoint that `newest` returned, because the attempt that wrote them may still
        run and delete them."""
        own = self._best_uri(step)
        self._write(own, storage.local_copy(uri, self.scratch))
        self._best = {own: self._best[uri]}
        return own

    def save(self, step: int, weights: dict[str, torch.Tensor], state: dict[str, Any], best: str) -> None:
        """Write one checkpoint, its manifest last, then delete obsolete ones.

        `best` is the URI that `save_best` or `copy_best` returned last, or empty.
        """
        import torch

        folder = storage.join(self.prefix, f"step-{step:08d}-{self._attempt}")
        objects = {}
        uri = storage.join(folder, _WEIGHTS)
        objects[uri] = self._write_weights(uri, weights)
        buffer = io.BytesIO()
        torch.save(state, buffer)
        uri = storage.join(folder, _STATE)
        self._write(uri, buffer.getvalue())
        objects[uri] = hashlib.sha256(buffer.getbuffer()).hexdigest()
        if best:
            objects[best] = self._best[best]
        manifest = CheckpointManifest(step=step, best=best, objects=objects)
        uri = storage.join(folder, _MANIFEST)
        self._write(uri, manifest.model_dump_json().encode())
        self._kept = [*self._kept, {uri, *objects}][-N_KEPT:]
        self._delete_obsolete()

    def newest(self) -> CheckpointManifest | None:
        """Return the newest complete and undamaged checkpoint, to resume from."""
        self._deletable |= {o.uri for o in storage.list_objects(self.prefix)}
        self._kept = []
        for uri, manifest in self._complete():
            if all(self._is_whole(uri, sha256) for uri, sha256 in manifest.objects.items()):
                if manifest.best:
                    self._best = {manifest.best: manifest.objects[manifest.best]}
                self._kept = [{uri, *manifest.objects}]
                return manifest
            log.warning("checkpoint damaged, trying the one before", step=manifest.step)
        return None

    def weights(self, manifest: CheckpointManifest) -> dict[str, torch.Tensor]:
        return self._read_weights(_object(manifest, _WEIGHTS))

    def state(self, manifest: CheckpointManifest) -> dict[str, Any]:
        import torch

        path = storage.local_copy(_object(manifest, _STATE), self.scratch)
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return state

    def best_weights(self, uri: str) -> dict[str, torch.Tensor]:
        return self._read_weights(uri)

    def _is_whole(self, uri: str, sha256: str) -> bool:
        """Whether the object matches its digest. The copy checked here is the one loaded later: it is fetched once."""
        return storage.exists(uri) and storage.digest_file(storage.local_copy(uri, self.scratch)) == sha256

    def _complete(self) -> Iterator[tuple[str, CheckpointManifest]]:
        """Yield readable manifests with their URIs, newest first."""
        uris = [o.uri for o in storage.list_objects(self.prefix) if o.uri.endswith("/" + _MANIFEST)]
        for uri in sorted(uris, reverse=True):
            try:
                yield uri, CheckpointManifest.model_validate_json(storage.read_bytes(uri))
            except ValueError as error:
                log.warning("checkpoint unreadable", manifest=uri, error=str(error))

    def _delete_obsolete(self) -> None:
        """Delete what the kept checkpoints do not refer to, manifests first."""
        obsolete = self._deletable.difference(*self._kept)
        for uri in sorted(obsolete, key=lambda uri: not uri.endswith(_MANIFEST)):
            storage.delete(uri)
        self._deletable -= obsolete

    def _best_uri(self, step: int) -> str:
        return storage.join(self.prefix, f"best-{step:08d}-{self._attempt}.safetensors")

    def _write(self, uri: str, data: bytes | Path) -> None:
        self._deletable.add(uri)
        storage.write(uri, data)

    def _write_weights(self, uri: str, weights: dict[str, torch.Tensor]) -> str:
        from safetensors.torch import save_file

        path = self.scratch / "weights.safetensors"
        save_file({name: tensor.detach().contiguous() for name, tensor in weights.items()}, path)
        self._write(uri, path)
        digest = storage.digest_file(path)
        path.unlink()
        return digest

    def _read_weights(self, uri: str) -> dict[str, torch.Tensor]:
        from safetensors.torch import load_file

        weights: dict[str, torch.Tensor] = load_file(storage.local_copy(uri, self.scratch))
        return weights


def _object(manifest: CheckpointManifest, name: str) -> str:
    return next(uri for uri in manifest.objects if uri.endswith("/" + name))
