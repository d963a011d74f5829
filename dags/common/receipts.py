"""Where the attempts of a task leave their receipts, and reading them from the orchestrator's side."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from tasks.contract import Receipt

if TYPE_CHECKING:
    from airflow.sdk import Context


def receipt_uri(storage: str, context: Context) -> str:
    """`<storage>/runs/<dag_id>/<run_id>/<task_id>[-<map_index>].json`; all tries of a task share it.

    All of them, because a pod may outlive the try that started it and the next try takes it over.
    """
    ti = context["ti"]
    mapped = f"-{ti.map_index}" if ti.map_index is not None and ti.map_index >= 0 else ""
    return uri_of(storage, ti.dag_id, ti.run_id, f"{ti.task_id}{mapped}")


def uri_of(storage: str, dag_id: str, run_id: str, task: str) -> str:
    """The same, of any task of any run."""
    return f"{storage}/runs/{dag_id}/{run_folder(run_id)}/{task}.json"


def read_receipt(uri: str) -> Receipt | None:
    """The receipt, or nothing when no attempt has ended yet."""
    try:
        return Receipt.model_validate_json(_path(uri).read_bytes())
    except FileNotFoundError:
        return None


def delete_receipt(uri: str) -> None:
    """Remove what an earlier attempt left, so that it is never taken for this one's.

    Raises:
        PermissionError: it is still there. s3fs deletes without a word when it may not.
    """
    _path(uri).unlink(missing_ok=True)
    if _path(uri).exists():
        raise PermissionError(f"{uri} could not be deleted: the scheduler's role needs s3:DeleteObject below runs/")


def _path(uri: str) -> Any:
    if uri.startswith("file://"):
        # Percent-encoded as steps write them; fsspec would take the text as it is.
        return Path(unquote(uri.removeprefix("file://")))
    from airflow.sdk import ObjectStoragePath  # half a second: only where a receipt lies on S3

    return ObjectStoragePath(uri)


def run_folder(run_id: str) -> str:
    """`manual__2026-01-02T03:04:05+00:00` without the signs that URIs and shells take amiss."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", run_id)
