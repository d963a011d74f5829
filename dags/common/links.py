"""Buttons on tasks in the Airflow UI."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from airflow.sdk import BaseOperatorLink
from airflow.sdk.configuration import conf

from dags.common.receipts import read_receipt, task_receipt_uri
from dags.common.settings import settings

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

PAGES = "/airscript"
"""Where the API server serves what `dags/plugins/pages.py` has."""


class ReportLink(BaseOperatorLink):
    """From a task to the page that its step has made."""

    name = "Report"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002
        """Empty when there is no report; the bare URI when it lies where the API server does not look."""
        receipt = read_receipt(task_receipt_uri(settings().storage, ti_key.dag_id, ti_key.run_id, ti_key.task_id))
        return page_url(receipt.labels.get("page", "")) if receipt else ""


def page_url(uri: str) -> str:
    """What a browser opens to see an object below the transcripts."""
    root = settings().transcripts + "/"
    base = urlsplit(conf.get("api", "base_url", fallback="/")).path.rstrip("/")
    return f"{base}{PAGES}/transcripts/{uri.removeprefix(root)}" if uri.startswith(root) else uri
