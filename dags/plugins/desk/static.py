"""Styles and scripts of the pages. They hold no data: the login page's browser may load them too."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, HTTPException, Response

ASSETS = Path(__file__).parent / "assets"
MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript"}
HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}

router = APIRouter()


@router.get("/assets/{name}")
def asset(name: str) -> Response:
    """Return one file of `assets/`."""
    path = ASSETS / name
    if path.parent != ASSETS or path.suffix not in MEDIA_TYPES or not path.is_file():
        raise HTTPException(404)
    media_type = f"{MEDIA_TYPES[path.suffix]}; charset=utf-8"
    return Response(path.read_bytes(), media_type=media_type, headers=HEADERS)
