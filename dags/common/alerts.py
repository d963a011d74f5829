"""Telling people, once a run and never once a file: of a night that failed, left programmes behind or lost their
speakers, or is late.

What is told stands in the logs of the dag-processor and the triggerer. Where `AIRSCRIPT_ALERT_URL` is set, it is also
posted there as `{"text": …}`, which the incoming webhooks of Slack, Teams, Mattermost and Rocket.Chat take.
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

from dags.common.receipts import read_receipt, uri_of
from dags.common.settings import settings
from tasks.contract import WITHOUT_SPEAKERS, Outcome, Receipt

log = structlog.get_logger()

URL_VARIABLE = "AIRSCRIPT_ALERT_URL"
PATIENCE_S = 10.0


def night_ended(context: Mapping[str, Any]) -> None:
    """A DAG's callback for either end. A night in which every programme is done is no news, unless
    speakers were lost: those another attempt may find."""
    dag_id, run_id = context["dag"].dag_id, context["run_id"]
    report = read_receipt(uri_of(settings().storage, dag_id, run_id, "report_night"))
    reason = context.get("reason") or ""
    if text := text_of_night(f"{dag_id} {run_id}", report, failed=reason not in ("", "success")):
        send(text)


def text_of_night(run: str, report: Receipt | None, failed: bool) -> str:
    """What to tell of a night that has ended; empty if there is nothing to tell."""
    if report is None or not report.result:
        return f"{run} failed before it could say what became of its programmes" if failed else ""
    names = [*(o for o in Outcome if not o.is_done), WITHOUT_SPEAKERS]
    troubles = [f"{report.counts[name]} {name.replace('_', ' ')}" for name in names if report.counts.get(name)]
    if not failed and not troubles:
        return ""
    told = ", ".join(troubles) or "some tasks failed"
    page = report.labels.get("page", "")
    return f"{run} {'failed' if failed else 'is through'}: {told}, of {report.counts['programmes']} programmes. {page}"


async def night_is_late(needed_by: str, context: Mapping[str, Any] | None = None) -> None:
    """A deadline's callback, run by the triggerer."""
    run = (context or {}).get("dag_run", {})
    if run.get("state") in ("success", "failed"):  # Airflow 3.3 keeps the deadline of a run that failed
        return
    name = " ".join(filter(None, (run.get("dag_id"), run.get("dag_run_id") or run.get("run_id"))))
    await asyncio.to_thread(send, f"{name or 'the night'} is late: it was needed by {needed_by} and is still running")


def deadline(after: timedelta, needed_by: str) -> DeadlineAlert:
    """Tell if a run is not through so long after it was queued."""
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=after,
        callback=AsyncCallback(night_is_late, kwargs={"needed_by": needed_by}),
        name="late",
    )


def send(text: str) -> None:
    """Log, and post where an address is set. Never raises: an alert must not be the next fault."""
    log.error("alert", text=text)
    url = os.environ.get(URL_VARIABLE)
    if not url:
        return
    import httpx

    try:
        httpx.post(url, json={"text": text}, timeout=PATIENCE_S).raise_for_status()
    except httpx.HTTPError as error:
        log.error("the alert could not be posted", error=f"{type(error).__name__}")  # its text would show the address
