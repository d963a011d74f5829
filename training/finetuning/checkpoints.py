"""Checkpoints in storage: what a run needs to go on after it was stopped or killed.

A checkpoint is a folder of objects whose `manifest.json` is written last and names them with their digests; without
it, it did not happen. Tensors and plain numbers only: nothing that is loaded can run code.

Two attempts may write side by side for a while, where a node was cut off and not switched off. So an attempt's
checkpoints refer to nothing of another's, and it removes nothing that others wrote after it began: the latest attempt
that has saved keeps what it saved, whatever the others do.
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
        """sha256 of the best weights by URI. Not read again: a Spot node's last two minutes are for writing."""
        self._removable: set[str] = set()
        """URIs of what lay there when this attempt began, and of what it wrote itself."""
        self._kept: list[set[str]] = []
        """The URIs of complete checkpoints, the newest last: the one that this attempt took over, and its own."""

    def save_best(self, step: int, weights: dict[str, torch.Tensor]) -> str:
        """Keep the weights that scored best, for the checkpoints to refer to by the URI returned."""
        uri = self._best_uri(step)
        self._best = {uri: self._write_weights(uri, weights)}
        return uri

    def adopt_best(self, step: int, uri: str) -> str:
        """Copy the best weights that came with `newest`: who wrote them may still live, and remove them."""
        own = self._best_uri(step)
        self._write(own, storage.local_copy(uri, self._scratch))
        self._best = {own: self._best[uri]}
        return own

    def save(self, step: int, weights: dict[str, torch.Tensor], state: dict[str, Any], best: str) -> None:
        """Write one checkpoint, its manifest last, then remove what it makes needless.

        `best` is what `save_best` or `adopt_best` returned last, or empty.
        """
        import torch

        folder = storage.join(self._prefix, f"step-{step:08d}-{self._attempt}")
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
        self._kept = [*self._kept, {uri, *objects}][-KEPT:]
        self._remove_old()

    def newest(self) -> CheckpointManifest | None:
        """The newest checkpoint that is complete and undamaged, for this attempt to go on from."""
        self._removable |= {o.uri for o in storage.list_objects(self._prefix)}
        self._kept = []
        for uri, manifest in self._complete():
            if all(self._is_whole(uri, sha256) for uri, sha256 in manifest.objects.items()):
                if manifest.best:
                    self._best = {manifest.best: manifest.objects[manifest.best]}
                self._kept = [{uri, *manifest.objects}]
                return manifest
            log.warning("checkpoint damaged, taking the one before", step=manifest.step)
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
        """What the newest checkpoints do not refer to, manifests first."""
        needless = self._removable.difference(*self._kept)
        for uri in sorted(needless, key=lambda uri: not uri.endswith(_MANIFEST)):
            storage.delete(uri)
        self._removable -= needless

    def _best_uri(self, step: int) -> str:
        return storage.join(self._prefix, f"best-{step:08d}-{self._attempt}.safetensors")

    def _write(self, uri: str, data: bytes | Path) -> None:
        self._removable.add(uri)
        storage.write(uri, data)

    def _write_weights(self, uri: str, weights: dict[str, torch.Tensor]) -> str:
        from safetensors.torch import save_file

        path = self._scratch / "weights.safetensors"
        save_file({name: tensor.detach().contiguous() for name, tensor in weights.items()}, path)
        self._write(uri, path)
        digest = storage.digest_file(path)
        path.unlink()
        return digest

    def _read_weights(self, uri: str) -> dict[str, torch.Tensor]:
        from safetensors.torch import load_file

        weights: dict[str, torch.Tensor] = load_file(storage.local_copy(uri, self._scratch))
        return weights


def _object(manifest: CheckpointManifest, name: str) -> str:
    return next(uri for uri in manifest.objects if uri.endswith("/" + name))
