"""Buttons on tasks in the Airflow UI."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from airflow.sdk import BaseOperatorLink
from airflow.sdk.configuration import conf

from dags.common.receipts import read_receipt, task_receipt_uri
from dags.common.settings import settings

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

    from dags.common.launch import StepLauncher

PAGES = "/airscript"
"""URL path of the pages that `dags/plugins/desk/` serves."""

REPORTING_TASKS = {
    "corpus_features": ("assemble_dataset", "assemble-dataset"),
    "finetune_acoustic_model": ("register_model", "register-model"),
    "import_model": ("register_model", "register-import"),
    "nightly_transcription": ("report_night", "report-night"),
    "transcribe_on_arrival": ("report_night", "report-night"),
}
"""The task of each DAG that makes the report of its run, and its step."""


def run_report(dag_id: str, run_id: str) -> str:
    """Return the URI of the report of a run; empty while there is none."""
    task, step = REPORTING_TASKS[dag_id]
    receipt = read_receipt(task_receipt_uri(settings().storage, step, dag_id, run_id, task))
    return (receipt.labels.get("report") or receipt.labels.get("page", "")) if receipt else ""


class ReportLink(BaseOperatorLink):
    """Link from a task to the report that its step made."""

    name = "Report"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the URL of the report: empty without one, its plain URI if it is not below the transcripts."""
        step = cast("StepLauncher", operator).step
        receipt = read_receipt(task_receipt_uri(settings().storage, step, ti_key.dag_id, ti_key.run_id, ti_key.task_id))
        return page_url(receipt.labels.get("page", "")) if receipt else ""


def page_url(uri: str) -> str:
    """Return the URL path of an object below the transcripts, any other URI unchanged."""
    root = settings().transcripts + "/"
    base = urlsplit(conf.get("api", "base_url", fallback="/")).path.rstrip("/")
    return f"{base}{PAGES}/transcripts/{uri.removeprefix(root)}" if uri.startswith(root) else uri
