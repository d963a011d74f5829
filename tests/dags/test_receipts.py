"""Receipts as the orchestrator reads them, on a folder and on S3, against what steps write."""

from __future__ import annotations

import pytest

from dags.common import receipts
from dags.common.receipts import delete_receipt, read_receipt, run_folder
from tasks import storage
from tasks.contract import Receipt, Status


def test_written_by_a_step_read_and_deleted_by_the_launcher(storage_root: str) -> None:
    uri = storage.join(storage_root, "runs", "a_dag", "run", "scan_corpus-3.json")
    assert read_receipt(uri) is None
    delete_receipt(uri)  # nothing there is fine
    for seconds in (1.0, 2.0):  # the second attempt's is not hidden by a cache of the first's
        receipt = Receipt(step="scan-corpus", status=Status.DONE, seconds=seconds)
        storage.write(uri, receipt.model_dump_json().encode())
        assert read_receipt(uri) == receipt
    delete_receipt(uri)
    assert read_receipt(uri) is None


def test_a_receipt_that_stays_is_no_silent_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """s3fs's delete says nothing when the role may not: the old receipt would be taken for this attempt's."""

    class Kept:
        def unlink(self, missing_ok: bool) -> None: ...

        def exists(self) -> bool:
            return True

    monkeypatch.setattr(receipts, "_path", lambda uri: Kept())
    with pytest.raises(PermissionError, match="s3:DeleteObject"):
        delete_receipt("s3://speech/runs/a/b/c.json")


def test_run_ids_become_one_safe_name() -> None:
    assert run_folder("manual__2026-01-02T03:04:05+00:00") == "manual__2026-01-02T03-04-05-00-00"
    assert "/" not in run_folder("../../etc/passwd ?#%")
