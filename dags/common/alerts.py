"""Alerts, at most one a run: a night failed, left programmes untranscribed or without speakers, or is late.

They are logged by the dag-processor and the triggerer. With `AIRSCRIPT_ALERT_URL` they are also posted as
`{"text": …}`, the format of incoming webhooks in Slack, Teams, Mattermost and Rocket.Chat.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import structlog
from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

from dags.common.receipts import read_receipt, task_receipt_uri
from dags.common.settings import settings
from tasks.contract import WITHOUT_SPEAKERS, Outcome, Receipt

log = structlog.get_logger()

URL_VARIABLE = "AIRSCRIPT_ALERT_URL"
POST_TIMEOUT_S = 10.0


def night_ended(context: Mapping[str, Any]) -> None:
    """DAG callback for success and failure. No alert if every programme is done with its speakers; missing speakers
    are reported because clearing `diarize` may still find them."""
    dag_id, run_id = context["dag"].dag_id, context["run_id"]
    report = read_receipt(task_receipt_uri(settings().storage, "report-night", dag_id, run_id, "report_night"))
    reason = context.get("reason") or ""
    if text := alert_text(f"{dag_id} {run_id}", report, failed=reason not in ("", "success")):
        send(text)


def alert_text(run: str, report: Receipt | None, failed: bool) -> str:
    """Return the alert for a finished night; empty if none is needed. `report`: the receipt of report-night."""
    if report is None or not report.result:
        return f"{run} failed before its report was written" if failed else ""
    names = [*(o for o in Outcome if not o.is_done), WITHOUT_SPEAKERS]
    problems = [f"{report.counts[name]} {name.replace('_', ' ')}" for name in names if report.counts.get(name)]
    if not failed and not problems:
        return ""
    listed = ", ".join(problems) or "some tasks failed"
    page = report.labels.get("page", "")
    return f"{run} {'failed' if failed else 'finished'}: {listed}, of {report.counts['programmes']} programmes. {page}"


async def night_is_late(needed_by: str, context: Mapping[str, Any] | None = None) -> None:
    """Deadline callback, run by the triggerer."""
    run = (context or {}).get("dag_run", {})
    if run.get("state") in ("success", "failed"):  # Airflow 3.3 does not drop the deadline of a failed run
        return
    name = " ".join(filter(None, (run.get("dag_id"), run.get("dag_run_id") or run.get("run_id"))))
    await asyncio.to_thread(send, f"{name or 'the night'} is late: it was needed by {needed_by} and is still running")


def deadline(after: timedelta, needed_by: str) -> DeadlineAlert:
    """Alert if a run has not finished `after` it was queued."""
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=after,
        callback=AsyncCallback(night_is_late, kwargs={"needed_by": needed_by}),
        name="late",
    )


def send(text: str) -> None:
    """Log the alert, and post it if `AIRSCRIPT_ALERT_URL` is set. Never raises: an alert must not fail its callback."""
    log.error("alert", text=text)
    url = os.environ.get(URL_VARIABLE)
    if not url:
        return
    import httpx

    try:
        httpx.post(url, json={"text": text}, timeout=POST_TIMEOUT_S).raise_for_status()
    except httpx.HTTPError as error:
        # Only the type: the text contains the URL, which is a secret.
        log.error("the alert could not be posted", error=f"{type(error).__name__}")
