"""Fetching a model to a local folder."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path

from tasks import storage
from tasks.contract import RESULT_NAME, InputRejected, Reason, StepError
from tasks.models import hub
from tasks.models.content import FILES, verify_content
from tasks.models.mlflow_package import unpack
from tasks.models.reference import CHECKPOINT, MODEL_FOLDER, ModelReference, checkpoint_files, model_not_found
from tasks.models.registry import REGISTERED, find_version
from tasks.step import load_result, output_uri


def fetch(reference: ModelReference, scratch: Path) -> Path:
    """Fetch a model. Returns a local folder, to be read only: what transformers, CTranslate2 or OpenAI's package saved.

    A local folder is returned as it is. Anything else is copied once into a folder named after its digest, under
    `AIRSCRIPT_MODEL_CACHE` if that is set (many steps on one host), else under `scratch`. The copy is renamed into
    place when it is complete, so that processes may share the cache.
    """
    return unpack(_fetch(reference, scratch), reference.uri)


def _fetch(reference: ModelReference, scratch: Path) -> Path:
    uri = reference.uri
    if uri.startswith(REGISTERED):
        return _fetch_registered(reference, scratch)
    if uri.endswith("/" + RESULT_NAME):
        return _fetch_result(uri, reference, scratch)
    if uri.startswith(("file://", "s3://")):
        if uri.endswith(CHECKPOINT):
            files = {name: info.uri for name, info in checkpoint_files(uri).items()}
            return _copy(files, reference, scratch)
        return _fetch_folder(uri, reference, scratch)
    name, _, revision = uri.partition("@")
    return hub.download(name, revision or None)


def _fetch_result(uri: str, reference: ModelReference, scratch: Path) -> Path:
    result = load_result(uri)
    names = [name for name in result.outputs if name.startswith(MODEL_FOLDER)]
    folder = _copy({n.removeprefix(MODEL_FOLDER): output_uri(uri, result, n) for n in names}, reference, scratch)
    for name in names:
        if storage.digest_file(folder / name.removeprefix(MODEL_FOLDER)) != result.outputs[name].sha256:
            raise InputRejected(
                "is not what its step wrote: its bytes were changed or damaged",
                reason=Reason.CORRUPT,
                subject=output_uri(uri, result, name),
                next_step="restore it, or delete the result and run its step again",
            )
    return folder


def _fetch_registered(reference: ModelReference, scratch: Path) -> Path:
    version = find_version(reference.uri)
    package = _fetch_package(version.location, reference, scratch)
    folder = unpack(package, reference.uri)
    if version.content_digest:
        verify_content(folder, version.content_digest, package / FILES, version.uri)
    return folder


def _fetch_package(location: str, reference: ModelReference, scratch: Path) -> Path:
    if location.startswith("/"):
        location = storage.file_uri(location)
    if location.startswith(("file://", "s3://")):
        return _fetch_folder(location, reference, scratch)
    # If its server offers it, MLflow 3.17 downloads artifacts directly from S3 and decompresses files named .gz.
    os.environ.setdefault("MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD", "false")
    from mlflow.artifacts import download_artifacts

    target = _cache_folder(scratch) / f"mlflow-{reference.digest[:32]}"
    if not target.exists():
        partial = _partial_folder(target)
        partial.mkdir(parents=True)
        _rename_into_place(Path(download_artifacts(artifact_uri=location, dst_path=str(partial))), target)
        shutil.rmtree(partial, ignore_errors=True)
    return target


def _fetch_folder(uri: str, reference: ModelReference, scratch: Path) -> Path:
    if uri.startswith("file://"):
        path = storage.path_of(uri)
        if not path.is_dir():
            raise model_not_found(uri, "no such folder", "its files were removed: register the model again")
        return path
    prefix = uri.rstrip("/") + "/"
    return _copy({o.uri.removeprefix(prefix): o.uri for o in storage.list_objects(uri)}, reference, scratch)


def _copy(objects: dict[str, str], reference: ModelReference, scratch: Path) -> Path:
    """Copy objects (URIs by relative name) into a folder of the cache."""
    target = _cache_folder(scratch) / reference.digest[:32]
    if target.exists():
        return target
    if not objects:
        raise model_not_found(reference.uri, "no objects there", "check the prefix and the credentials' permissions")
    partial = _partial_folder(target)
    for name, uri in objects.items():
        path = partial / name
        if not path.resolve().is_relative_to(partial.resolve()):
            raise StepError(f"{name!r} points outside the model", reason=Reason.CORRUPT, subject=reference.uri)
        path.parent.mkdir(parents=True, exist_ok=True)
        storage.copy(uri, path)
    _rename_into_place(partial, target)
    return target


def _cache_folder(scratch: Path) -> Path:
    return Path(os.environ.get("AIRSCRIPT_MODEL_CACHE") or scratch / "models")


def _partial_folder(target: Path) -> Path:
    return target.with_name(f".{target.name}-{secrets.token_hex(4)}")


def _rename_into_place(folder: Path, target: Path) -> None:
    """Rename a complete folder, unless another process was first."""
    try:
        folder.rename(target)
    except OSError:
        if not target.exists():
            raise
        shutil.rmtree(folder, ignore_errors=True)
