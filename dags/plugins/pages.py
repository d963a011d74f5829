"""Reports and transcripts in the browser, for users who may read the nightly runs: a plugin of Airflow's API server."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, unquote

from airflow.api_fastapi.core_api.security import requires_access_dag
from airflow.plugins_manager import AirflowPlugin
from fastapi import Depends, FastAPI, HTTPException, Response
from fastapi.responses import RedirectResponse

from dags.common.links import PAGES
from dags.common.settings import settings
from tasks.pages.templates import render

MEDIA_TYPES = {".html": "text/html", ".json": "application/json", ".jsonl": "application/x-ndjson"}
TEXT = "text/plain"  # subtitles too: a browser shows them instead of saving them
DOWNLOADS = {".stl"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}

app = FastAPI(title="airscript", docs_url=None, redoc_url=None, openapi_url=None)


@app.get(
    "/transcripts/{path:path}", dependencies=[Depends(requires_access_dag("GET", param_dag_id="nightly_transcription"))]
)
def transcripts(path: str) -> Response:
    """Return one object below the transcripts, or the listing of a folder. Links in both are relative."""
    parts = PurePosixPath(path).parts
    if ".." in parts or path.startswith("/"):
        raise HTTPException(404)
    place = _place("/".join(parts))
    if place.is_dir():
        if parts and not path.endswith("/"):  # relative links start from the last slash
            return RedirectResponse(f"{quote(parts[-1])}/")
        return _listing(place, path)
    if not place.is_file():
        raise HTTPException(404)
    data, suffix = place.read_bytes(), place.suffix.lower()
    if suffix in DOWNLOADS:
        return Response(data, media_type="application/octet-stream", headers=HEADERS)
    return Response(data, media_type=f"{MEDIA_TYPES.get(suffix, TEXT)}; charset=utf-8", headers=HEADERS)


def _place(path: str) -> Any:
    if settings().transcripts.startswith("file://"):
        root = Path(unquote(settings().transcripts.removeprefix("file://"))).resolve()
        place = (root / path).resolve()
        if not place.is_relative_to(root):  # a symbolic link that leads elsewhere
            raise HTTPException(404)
        return place
    from airflow.sdk import ObjectStoragePath

    return ObjectStoragePath(f"{settings().transcripts}/{path}")


def _listing(folder: Any, path: str) -> Response:
    names = sorted(entry.name for entry in folder.iterdir())
    page = render("dags.plugins/folder.html.jinja", path=path or "transcripts", names=names)
    return Response(page, media_type="text/html; charset=utf-8", headers=HEADERS)


class AirscriptPages(AirflowPlugin):
    name = "airscript_pages"
    fastapi_apps = [{"app": app, "url_prefix": PAGES, "name": "airscript"}]  # noqa: RUF012  Airflow types it so
