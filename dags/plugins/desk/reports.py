"""The tab *Report* of a run, and the report of a night with its programmes' pages and the last days."""

from __future__ import annotations

from pathlib import Path

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import APIRouter, Depends, HTTPException, Response
from fastapi.responses import RedirectResponse

from dags.common.links import REPORTING_TASKS, run_report
from dags.common.receipts import receipt_path
from dags.common.settings import settings
from dags.plugins.desk.access import DOCUMENT_HEADERS, may_read
from dags.plugins.desk.indexing import refresh_soon
from tasks.contract import InputRejected
from tasks.desk.nights import night_of, night_page
from tasks.pages.templates import render

# Airflow shows a view on the runs of every DAG: one tab, which finds the report of its run.
RUN_TAB = {
    "name": "Report",
    "href": "airscript/report?dag_id={DAG_ID}&run_id={RUN_ID}",
    "destination": "dag_run",
    "url_route": "report",
}

router = APIRouter()


@router.get("/report", dependencies=[Depends(requires_access_dag("GET", DagAccessEntity.RUN))])
def run_tab(dag_id: str, run_id: str) -> Response:
    """Return the report of a run: of a night, of a dataset or of a training."""
    task, _ = REPORTING_TASKS.get(dag_id, ("", ""))
    uri = run_report(dag_id, run_id) if task else ""
    if not uri:
        return _document(render("dags.plugins.desk/no_report.html.jinja", task=task))
    if night := night_of(settings().transcripts, uri):
        return RedirectResponse(f"nights/{night}/")
    try:
        data = receipt_path(uri).read_bytes()
    except FileNotFoundError:
        raise HTTPException(404, f"The report was deleted: {uri}") from None
    media_type = "text/html" if uri.endswith(".html") else "text/plain"
    return Response(data, media_type=f"{media_type}; charset=utf-8", headers=DOCUMENT_HEADERS)


@router.get("/nights/{night}/", dependencies=[may_read])
def night(night: str) -> Response:
    """Return the report of a night. One of an older version is shown as it was written."""
    refresh_soon()
    try:
        return _document(night_page(settings().transcripts, night, Path(settings().index)))
    except InputRejected:
        return RedirectResponse(f"../../transcripts/_nights/{night}/report.html")


def _document(page: str) -> Response:
    return Response(page, media_type="text/html; charset=utf-8", headers=DOCUMENT_HEADERS)
