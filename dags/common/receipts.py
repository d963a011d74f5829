"""The receipts of Airflow's tasks: their URIs, reading and deleting them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from dags.common.profiles import PLACEMENTS
from tasks.contract import Receipt

if TYPE_CHECKING:
    from airflow.sdk import Context


def receipt_uri(storage: str, step: str, context: Context) -> str:
    """Return `<storage>/runs/<role>/<dag_id>/<run_id>/<task_id>[-<map_index>].json`.

    The step's role comes first, because rights on S3 are given by prefix: no role can write a receipt of another.
    All tries of the task share it, because a pod may outlive the try that started it: the next try reattaches.
    """
    ti = context["ti"]
    mapped = f"-{ti.map_index}" if ti.map_index is not None and ti.map_index >= 0 else ""
    return task_receipt_uri(storage, step, ti.dag_id, ti.run_id, f"{ti.task_id}{mapped}")


def task_receipt_uri(storage: str, step: str, dag_id: str, run_id: str, task: str) -> str:
    """Return the URI of any task's receipt. `task`: the id of the task of `step`, with `-<map_index>` if mapped."""
    return f"{storage}/runs/{PLACEMENTS[step].role}/{dag_id}/{run_folder(run_id)}/{task}.json"


def read_receipt(uri: str) -> Receipt | None:
    """Read a receipt; None before the first attempt has ended."""
    try:
        return Receipt.model_validate_json(receipt_path(uri).read_bytes())
    except FileNotFoundError:
        return None


def delete_receipt(uri: str) -> None:
    """Delete an earlier attempt's receipt, so that it is not mistaken for this attempt's.

    Raises:
        PermissionError: the receipt still exists. s3fs ignores a missing permission to delete.
    """
    receipt_path(uri).unlink(missing_ok=True)
    if receipt_path(uri).exists():
        raise PermissionError(f"{uri} could not be deleted: the scheduler's role needs s3:DeleteObject below runs/")


def receipt_path(uri: str) -> Any:
    """A `Path` or `ObjectStoragePath` for a `file://` or `s3://` URI."""
    if uri.startswith("file://"):
        # Steps write percent-encoded URIs, which fsspec would not decode.
        return Path(unquote(uri.removeprefix("file://")))
    from airflow.sdk import ObjectStoragePath  # takes half a second: only for receipts on S3

    return ObjectStoragePath(uri)


def run_folder(run_id: str) -> str:
    """Return a run id without characters that are special in URIs and shells, such as `:` and `+`."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", run_id)
