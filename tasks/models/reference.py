"""Resolving a model's URI to an exact version: aliases become versions, folders become digests."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tasks import storage
from tasks.contract import RESULT_NAME, InputRejected, Misconfigured, Reason, digest_of
from tasks.models import hub
from tasks.models.registry import REGISTERED, find_version
from tasks.models.whisper.tokenizer import is_tokenizer_file
from tasks.step import load_result
from tasks.storage.objects import ObjectInfo

HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?(@[\w.-]+)?")
MARKS = ("config.json", "config.yaml", "MLmodel", "model.bin")  # of transformers, pyannote, MLflow and CTranslate2
CHECKPOINT = ".pt"  # OpenAI's
MODEL_FOLDER = "model/"  # outputs of a train step whose names begin with this are its model


@dataclass(frozen=True)
class ModelReference:
    """An exact version of a model."""

    uri: str
    """URI without an alias, so that it means the same model tomorrow."""
    version: str
    """Display name: `acoustic-model/3`, or a kind and a digest."""
    digest: str
    """sha256 of the model's identity, 64 hexadecimal digits: changes with the model."""


def resolve(uri: str) -> ModelReference:
    """Resolve a model's URI.

    Raises:
        InputRejected: MODEL_NOT_FOUND, with what to do next.
        Misconfigured: `uri` is not a valid model URI.
    """
    if uri.startswith(REGISTERED):
        registered = find_version(uri)
        identity = {"name": registered.name, "version": registered.version, "source": registered.source}
        return ModelReference(registered.uri, f"{registered.name}/{registered.version}", digest_of(identity))
    if uri.startswith(("file://", "s3://")):
        if uri.endswith("/" + RESULT_NAME):
            return _resolve_result(uri)
        return _resolve_checkpoint(uri) if uri.endswith(CHECKPOINT) else _resolve_folder(uri.rstrip("/"))
    if uri.startswith(("/", ".", "~")) or (uri and Path(uri).exists()):
        return resolve(storage.file_uri(Path(uri).expanduser()))
    if HUB_NAME.fullmatch(uri):
        return _resolve_hub_name(uri)
    raise Misconfigured(
        "is not a valid model URI",
        reason=Reason.INVALID_ARGUMENT,
        subject=uri or "model",
        next_step="give models:/name@champion, models:/name/version, a folder, an s3:// prefix or a hub name",
    )


def resolve_or_fall_back(uri: str, fallback: str) -> tuple[ModelReference, bool]:
    """Resolve `uri`, or `fallback` (if given) where there is no such model: before the first promotion there is no
    champion. Return the model, and whether it is the fallback."""
    try:
        return resolve(uri), False
    except InputRejected as error:
        if error.reason is not Reason.MODEL_NOT_FOUND or not fallback:
            raise
        return resolve(fallback), True


def _resolve_result(uri: str) -> ModelReference:
    result = load_result(uri)
    weights = {name: a.sha256 for name, a in result.outputs.items() if name.startswith(MODEL_FOLDER)}
    if not weights:
        raise model_not_found(
            uri, f"the {result.step} step has no model among its outputs", "give the result.json of a train step"
        )
    digest = digest_of(weights)
    return ModelReference(uri, f"{result.step}-{digest[:12]}", digest)


def _resolve_folder(uri: str) -> ModelReference:
    """Digest a folder's content, so that a copied folder is the same model. On S3, digest its etags instead."""
    files = {info.uri.removeprefix(uri).lstrip("/"): info for info in storage.list_objects(uri)}
    if not any(name in MARKS or (name.endswith(CHECKPOINT) and "/" not in name) for name in files):
        raise model_not_found(uri, f"no folder with a {' or a '.join(MARKS)}", "check the path, or train a model first")
    digest = _digest(files)
    return ModelReference(uri, f"folder-{digest[:12]}", digest)


def _resolve_checkpoint(uri: str) -> ModelReference:
    digest = _digest(checkpoint_files(uri))
    return ModelReference(uri, f"{uri.rpartition('/')[2]}-{digest[:12]}", digest)


def checkpoint_files(uri: str) -> dict[str, ObjectInfo]:
    """Return a checkpoint's file and the tokenizer beside it, in any form, by name: other checkpoints lie there too.

    Raises:
        InputRejected: MODEL_NOT_FOUND.
    """
    folder, _, name = uri.rpartition("/")
    if not storage.exists(uri):
        raise model_not_found(uri, "no such file", "check the path")
    beside = {info.uri.removeprefix(folder + "/"): info for info in storage.list_objects(folder)}
    return {n: info for n, info in beside.items() if n == name or (is_tokenizer_file(n) and "/" not in n)}


def _digest(files: Mapping[str, ObjectInfo]) -> str:
    # A changed README does not change the model.
    counted = {name: info for name, info in files.items() if not name.startswith(".") and not name.endswith(".md")}
    return digest_of(
        {
            name: _cached_digest(info.uri, info.etag) if info.uri.startswith("file://") else info.etag
            for name, info in counted.items()
        }
    )


@lru_cache(maxsize=256)
def _cached_digest(uri: str, etag: str) -> str:  # noqa: ARG001
    """Digest a file; cached, because a step resolves a model twice: for its key and in `run`.

    `etag` changes with the file's size and time.
    """
    return storage.digest(uri)


def _resolve_hub_name(uri: str) -> ModelReference:
    """Resolve a model of the hub: to the revision of its local copy if there is one (`HF_HUB_OFFLINE`), else to the
    hub's newest. A name may contain its revision after an @, as a reference's own URI does.
    """
    from huggingface_hub import HfApi

    name, _, revision = uri.partition("@")
    if not revision and (copy := hub.local_copy(name, None)):
        revision = copy.name
    if not revision:
        try:
            revision = HfApi().model_info(name).sha or "main"
        except Exception as error:  # the client does not wrap its transport's errors
            raise model_not_found(
                name,
                f"neither here nor on the hub ({type(error).__name__})",
                "check the name, or download it where there is a network and give the folder",
            ) from None
    return ModelReference(
        f"{name}@{revision}", f"{name}@{revision[:12]}", digest_of({"hub": name, "revision": revision})
    )


def model_not_found(subject: str, message: str, next_step: str) -> InputRejected:
    return InputRejected(message, reason=Reason.MODEL_NOT_FOUND, subject=subject, next_step=next_step)
