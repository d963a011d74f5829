"""Who may read and who may write, and what the browser may do with a page.

Whoever may read the runs of the night may read its transcripts; whoever may edit its DAG may correct them. Airflow
authenticates both.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagDetails
from airflow.api_fastapi.core_api.security import requires_access_dag
from airflow.models.dag import DagModel
from fastapi import Depends, HTTPException, Request, Response

DAG_ID = "nightly_transcription"
PAGE_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "media-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'self'",  # Airflow's UI shows the pages in a frame
    )
)
# A report is a single file with its style inside, made by a step and kept in storage: it may load and run nothing.
DOCUMENT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:"
DOCUMENT_HEADERS = {"Content-Security-Policy": DOCUMENT_POLICY, "X-Content-Type-Options": "nosniff"}
PAGE_HEADERS = {
    "Content-Security-Policy": PAGE_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
DATA_HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}

_read_dag = requires_access_dag("GET", param_dag_id=DAG_ID)
_edit_dag = requires_access_dag("PUT", param_dag_id=DAG_ID)


def from_own_page(request: Request) -> None:
    """Reject a request that another site's page sent with this user's cookie.

    Browsers say in `Sec-Fetch-Site` where a request comes from and no page can change it. Browsers older than 2023 send
    `Origin` only. JSON is the only accepted content: a form of another site cannot send it.

    Raises:
        HTTPException: 403 for a foreign page, 415 for other content.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    is_own = site == "same-origin" if site else origin is not None and urlsplit(origin).netloc == request.url.netloc
    if not is_own:
        raise HTTPException(403, "This request does not come from a page of this site. Open the page again.")
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise HTTPException(415, "Send JSON.")


may_read = Depends(_read_dag)
"""For every route that shows something."""
from_own_page_only = Depends(from_own_page)
may_write = (from_own_page_only, Depends(_edit_dag))
"""For every route that changes something."""


def may_edit(user: Any) -> bool:
    """Whether a user may correct transcripts, so that a page can say so before somebody types."""
    details = DagDetails(id=DAG_ID, team_name=DagModel.get_team_name(DAG_ID))
    return get_auth_manager().is_authorized_dag(method="PUT", details=details, user=user)


def html(page: str) -> Response:
    """Return a page of the desk. It loads scripts and styles as files from this site, and nothing inline."""
    return Response(page, media_type="text/html; charset=utf-8", headers=PAGE_HEADERS)
