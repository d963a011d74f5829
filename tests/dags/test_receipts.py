"""The orchestrator reads and deletes the receipts that steps write, in a folder and on S3."""

from __future__ import annotations

import pytest

from dags.common import receipts
from dags.common.receipts import delete_receipt, read_receipt, run_folder
from tasks import storage
from tasks.contract import Receipt, Status


def test_written_by_a_step_read_and_deleted_by_the_launcher(storage_root: str) -> None:
    uri = storage.join(storage_root, "runs", "a_dag", "run", "scan_corpus-3.json")
    assert read_receipt(uri) is None
    delete_receipt(uri)  # no error if there is none
    for seconds in (1.0, 2.0):  # no cache hides the second attempt's receipt
        receipt = Receipt(step="scan-corpus", status=Status.DONE, seconds=seconds)
        storage.write(uri, receipt.model_dump_json().encode())
        assert read_receipt(uri) == receipt
    delete_receipt(uri)
    assert read_receipt(uri) is None


def test_a_receipt_that_cannot_be_deleted_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """s3fs ignores a missing permission to delete: the old receipt would be taken for this attempt's."""

    class Kept:
        def unlink(self, missing_ok: bool) -> None: ...

        def exists(self) -> bool:
            return True

    monkeypatch.setattr(receipts, "receipt_path", lambda uri: Kept())
    with pytest.raises(PermissionError, match="s3:DeleteObject"):
        delete_receipt("s3://speech/runs/a/b/c.json")


def test_run_ids_become_safe_folder_names() -> None:
    assert run_folder("manual__2026-01-02T03:04:05+00:00") == "manual__2026-01-02T03-04-05-00-00"
    assert "/" not in run_folder("../../etc/passwd ?#%")
