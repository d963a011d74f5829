"""Lists the files of a model, wherever it is, without fetching them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from tasks import storage
from tasks.contract import RESULT_NAME, InputRejected, Reason
from tasks.models import hub
from tasks.models.mlflow_package import unpacked_names
from tasks.models.reference import CHECKPOINT, MODEL_FOLDER, ModelReference, checkpoint_files
from tasks.models.registry import REGISTERED, find_version
from tasks.step import load_result, output_uri
from tasks.storage import ObjectInfo


@dataclass(frozen=True)
class ModelFiles:
    """A model's files."""

    subject: str
    """Its URI, for messages."""
    sizes: Mapping[str, int | None]
    """Bytes by name; None where they are not known."""
    read: Callable[[str], bytes]

    def read_json(self, name: str) -> dict[str, Any]:
        """Read a file of settings. Raises InputRejected if it is missing or damaged."""
        if name not in self.sizes:
            self.refuse("no such file", "copy all files of the model", name=name)
        try:
            content: dict[str, Any] = json.loads(self.read(name))
            content.get("")  # an object, no list
        except (ValueError, AttributeError) as error:
            self.refuse(f"no settings of a model: {error}", "copy it again", name=name, reason=Reason.CORRUPT)
        return content

    def refuse(
        self, message: str, next_step: str, *, name: str = "", reason: Reason = Reason.MODEL_NOT_FOUND
    ) -> NoReturn:
        """Raise InputRejected for the model, or for one of its files."""
        subject = f"{self.subject}/{name}" if name else self.subject
        raise InputRejected(message, reason=reason, subject=subject, next_step=next_step)


def is_own(reference: ModelReference) -> bool:
    """Whether one of our own steps made or registered the model."""
    uri = reference.uri
    return uri.endswith("/" + RESULT_NAME) or (uri.startswith(REGISTERED) and bool(find_version(uri).content_digest))


def list_files(reference: ModelReference) -> ModelFiles | None:
    """List a model's files, as they will lie in its folder; None for one of the hub that does not answer."""
    uri = reference.uri
    if uri.startswith(REGISTERED):
        return _list_registered(find_version(uri).location, uri)
    if uri.endswith("/" + RESULT_NAME):
        return _list_result(uri)
    if uri.endswith(CHECKPOINT):
        return _of_objects(checkpoint_files(uri), uri)
    if uri.startswith(("file://", "s3://")):
        return _list_folder(uri, uri)
    return _list_hub(uri)


def _list_folder(location: str, subject: str) -> ModelFiles:
    prefix = location.rstrip("/") + "/"
    return _of_objects({info.uri.removeprefix(prefix): info for info in storage.list_objects(location)}, subject)


def _list_result(uri: str) -> ModelFiles:
    result = load_result(uri)
    outputs = {n.removeprefix(MODEL_FOLDER): n for n in result.outputs if n.startswith(MODEL_FOLDER)}
    sizes: dict[str, int | None] = {name: result.outputs[output].bytes for name, output in outputs.items()}
    return ModelFiles(uri, sizes, lambda name: storage.read_bytes(output_uri(uri, result, outputs[name])))


def _of_objects(objects: Mapping[str, ObjectInfo], subject: str) -> ModelFiles:
    names = unpacked_names(objects, lambda name: storage.read_bytes(objects[name].uri), subject)
    sizes = {name: objects[origin].size for name, origin in names.items()}
    return ModelFiles(subject, sizes, lambda name: storage.read_bytes(objects[names[name]].uri))


def _list_registered(location: str, subject: str) -> ModelFiles:
    """List what others registered. On a server that hands out artifacts itself, MLflow's client is asked."""
    if location.startswith("/"):
        location = storage.file_uri(location)
    if location.startswith(("file://", "s3://")):
        return _list_folder(location, subject)
    from mlflow.artifacts import list_artifacts, load_text

    sizes: dict[str, int | None] = {}
    folders = [""]
    while folders:
        folder = folders.pop()
        for info in list_artifacts(artifact_uri=storage.join(location, folder) if folder else location):
            name = f"{folder}/{info.path.rpartition('/')[2]}" if folder else info.path.rpartition("/")[2]
            if info.is_dir:
                folders.append(name)
            else:
                sizes[name] = info.file_size

    def read(name: str) -> bytes:
        return str(load_text(storage.join(location, name))).encode()

    names = unpacked_names(sizes, read, subject)
    return ModelFiles(subject, {n: sizes[origin] for n, origin in names.items()}, lambda name: read(names[name]))


def _list_hub(uri: str) -> ModelFiles | None:
    from huggingface_hub import hf_hub_download

    name, _, revision = uri.partition("@")
    try:
        sizes = hub.file_sizes(name, revision or None)
    except Exception:  # the client does not wrap its transport's errors
        copy = hub.local_copy(name, revision)
        return _list_folder(storage.file_uri(copy), uri) if copy else None
    return ModelFiles(uri, sizes, lambda file: Path(hf_hub_download(name, file, revision=revision)).read_bytes())
