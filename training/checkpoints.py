"""Checkpoints in storage: what a run needs to go on after it was stopped or killed.

A checkpoint is a folder of objects whose `manifest.json` is written last and names them with their digests; without
it, it did not happen. Tensors and plain numbers only: nothing that is loaded can run code.
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

KEPT = 2  # complete checkpoints: the newest, and one before it should the newest turn out damaged
_MANIFEST, _WEIGHTS, _STATE = "manifest.json", "model.safetensors", "state.pt"


class CheckpointManifest(Frozen):
    """What a checkpoint consists of. `best` is the URI of the best weights so far, kept beside the checkpoints."""

    step: int
    best: str
    objects: dict[str, str]
    """sha256 by URI."""


class Checkpoints:
    """The checkpoints of one run, under one prefix."""

    def __init__(self, prefix: str, attempt: str, scratch: Path) -> None:
        """`attempt` parts the folders of two attempts that reach the same step."""
        self._prefix, self._attempt, self._scratch = prefix, attempt, scratch
        self._best: dict[str, str] = {}
        self._damaged: set[str] = set()
        """sha256 of the best weights by URI. Not read again: a Spot node's last two minutes are for writing."""

    def save_best(self, step: int, weights: dict[str, torch.Tensor]) -> str:
        """Keep the weights that scored best, for the checkpoints to refer to by the URI returned."""
        uri = storage.join(self._prefix, f"best-{step:08d}-{self._attempt}.safetensors")
        self._best = {uri: self._write_weights(uri, weights)}
        return uri

    def save(self, step: int, weights: dict[str, torch.Tensor], state: dict[str, Any], best: str) -> None:
        """Write one checkpoint, its manifest last, then remove what it makes needless.

        `best` is what `save_best` returned last, or empty.
        """
        import torch

        folder = storage.join(self._prefix, f"step-{step:08d}-{self._attempt}")
        objects = {}
        uri = storage.join(folder, _WEIGHTS)
        objects[uri] = self._write_weights(uri, weights)
        buffer = io.BytesIO()
        torch.save(state, buffer)
        uri = storage.join(folder, _STATE)
        storage.write(uri, buffer.getvalue())
        objects[uri] = hashlib.sha256(buffer.getbuffer()).hexdigest()
        if best:
            objects[best] = self._best.get(best) or storage.digest(best)
        manifest = CheckpointManifest(step=step, best=best, objects=objects)
        storage.write(storage.join(folder, _MANIFEST), manifest.model_dump_json().encode())
        self._remove_old()

    def newest(self) -> CheckpointManifest | None:
        """The newest checkpoint that is complete and undamaged."""
        for uri, manifest in self._complete():
            if all(self._is_whole(uri, sha256) for uri, sha256 in manifest.objects.items()):
                if manifest.best:
                    self._best = {manifest.best: manifest.objects[manifest.best]}
                return manifest
            log.warning("checkpoint damaged, taking the one before", step=manifest.step)
            self._damaged.add(uri)
        return None

    def weights(self, manifest: CheckpointManifest) -> dict[str, torch.Tensor]:
        return self._read_weights(_object(manifest, _WEIGHTS))

    def state(self, manifest: CheckpointManifest) -> dict[str, Any]:
        import torch

        path = storage.local_copy(_object(manifest, _STATE), self._scratch)
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return state

    def best_weights(self, uri: str) -> dict[str, torch.Tensor]:
        return self._read_weights(uri)

    def _is_whole(self, uri: str, sha256: str) -> bool:
        """The copy that is looked at is the one that will be loaded: each object is fetched once."""
        return storage.exists(uri) and storage.digest_file(storage.local_copy(uri, self._scratch)) == sha256

    def _complete(self) -> Iterator[tuple[str, CheckpointManifest]]:
        """Manifests, newest first."""
        uris = [o.uri for o in storage.list_objects(self._prefix) if o.uri.endswith("/" + _MANIFEST)]
        for uri in sorted(uris, reverse=True):
            try:
                yield uri, CheckpointManifest.model_validate_json(storage.read_bytes(uri))
            except ValueError as error:
                log.warning("checkpoint unreadable", manifest=uri, error=str(error))

    def _remove_old(self) -> None:
        """Everything that the newest complete checkpoints do not refer to, manifests first."""
        needed: set[str] = set()
        whole = [(uri, manifest) for uri, manifest in self._complete() if uri not in self._damaged]
        for uri, manifest in whole[:KEPT]:
            needed |= {uri, *manifest.objects}
        found = [o.uri for o in storage.list_objects(self._prefix) if o.uri not in needed]
        for uri in sorted(found, key=lambda uri: not uri.endswith(_MANIFEST)):
            storage.delete(uri)

    def _write_weights(self, uri: str, weights: dict[str, torch.Tensor]) -> str:
        from safetensors.torch import save_file

        path = self._scratch / "weights.safetensors"
        save_file({name: tensor.detach().contiguous() for name, tensor in weights.items()}, path)
        storage.write(uri, path)
        digest = storage.digest_file(path)
        path.unlink()
        return digest

    def _read_weights(self, uri: str) -> dict[str, torch.Tensor]:
        from safetensors.torch import load_file

        weights: dict[str, torch.Tensor] = load_file(storage.local_copy(uri, self._scratch))
        return weights


def _object(manifest: CheckpointManifest, name: str) -> str:
    return next(uri for uri in manifest.objects if uri.endswith("/" + name))
