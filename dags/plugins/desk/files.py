"""The files below the transcripts as they are: reports, transcripts, listings of folders."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, unquote

from fastapi import APIRouter, HTTPException, Response
from fastapi.responses import RedirectResponse

from dags.common.settings import settings
from dags.plugins.desk.access import DOCUMENT_HEADERS, may_read
from tasks.pages.templates import render

MEDIA_TYPES = {".html": "text/html", ".json": "application/json", ".jsonl": "application/x-ndjson"}
TEXT = "text/plain"  # subtitles too: a browser shows them instead of saving them
DOWNLOADS = {".stl"}

router = APIRouter()


@router.get("/transcripts/{path:path}", dependencies=[may_read])
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
        return Response(data, media_type="application/octet-stream", headers=DOCUMENT_HEADERS)
    return Response(data, media_type=f"{MEDIA_TYPES.get(suffix, TEXT)}; charset=utf-8", headers=DOCUMENT_HEADERS)


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
    page = render("dags.plugins.desk/folder.html.jinja", path=path or "transcripts", names=names)
    return Response(page, media_type="text/html; charset=utf-8", headers=DOCUMENT_HEADERS)
